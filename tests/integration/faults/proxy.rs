//! A proxy in front of a server's socket that cuts connections when it is told to.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

/// Where an exchange is cut. The client sees the same: a connection that is gone.
#[derive(Debug, Clone, Copy)]
enum Cut {
    /// What the client sent does not reach the server.
    Before,
    /// It reaches the server, and nobody waits for the answer.
    AtOnce,
    /// The server has answered, and the answer does not reach the client.
    Answer,
}

/// What a proxy cuts.
#[derive(Debug, Clone, Copy)]
enum Cuts {
    /// Every so-many-th exchange that appends.
    Appends { every: usize },
    /// Every connection, in the midst of a reply, sooner or later.
    Replies,
}

/// Forwards to a server, and cuts connections.
pub(super) struct Proxy {
    folder: TempDir,
    server: Config,
    cuts: Arc<AtomicUsize>,
    /// Whether new connections get through.
    open: watch::Sender<bool>,
}

impl Proxy {
    /// One that cuts every `every`-th exchange that appends.
    pub(super) fn start(server: &Config, every: usize) -> Self {
        Self::cutting(server, Cuts::Appends { every })
    }

    /// One that cuts every connection in the midst of a reply, when much has come through it.
    pub(super) fn cutting_replies(server: &Config) -> Self {
        Self::cutting(server, Cuts::Replies)
    }

    fn cutting(server: &Config, what: Cuts) -> Self {
        let folder = TempDir::new().unwrap();
        let port = server.get_ports().first().copied().unwrap_or(5432);
        let Some(Host::Unix(real)) = server.get_hosts().first() else {
            panic!("a server on a Unix socket");
        };
        let name = format!(".s.PGSQL.{port}");
        let (real, listening) = (real.join(&name), folder.path().join(&name));
        let listener = UnixListener::bind(listening).unwrap();
        let cuts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&cuts);
        let open = watch::Sender::new(true);
        let is_open = open.subscribe();
        tokio::spawn(async move {
            let exchanges = Arc::new(AtomicUsize::new(0));
            let mut connections = 0;
            while let Ok((client, _)) = listener.accept().await {
                connections += 1;
                let (every, reply) = match what {
                    Cuts::Appends { every } => (every, None),
                    Cuts::Replies => (usize::MAX, Some(ReplyCut::of_connection(connections))),
                };
                let session = forward(
                    client,
                    real.clone(),
                    Arc::clone(&exchanges),
                    every,
                    reply,
                    Arc::clone(&counted),
                );
                let mut is_open = is_open.clone();
                tokio::spawn(async move {
                    // When the proxy is gone nobody waits any more.
                    if is_open.wait_for(|open| *open).await.is_ok() {
                        session.await;
                    }
                });
            }
        });
        Self {
            folder,
            server: server.clone(),
            cuts,
            open,
        }
    }

    /// Has whoever connects from now on wait until they are [let through](Self::let_through).
    pub(super) fn hold(&self) {
        self.open.send_replace(false);
    }

    pub(super) fn let_through(&self) {
        self.open.send_replace(true);
    }

    /// How to connect through it.
    pub(super) fn config(&self) -> Config {
        let mut config = Config::new();
        config.host_path(self.folder.path());
        config.port(self.server.get_ports().first().copied().unwrap_or(5432));
        config.user(self.server.get_user().unwrap());
        if let Some(password) = self.server.get_password() {
            config.password(password);
        }
        config
    }

    /// How many exchanges were cut.
    pub(super) fn cuts(&self) -> usize {
        self.cuts.load(Ordering::Relaxed)
    }
}

async fn forward(
    mut client: UnixStream,
    real: PathBuf,
    exchanges: Arc<AtomicUsize>,
    every: usize,
    mut reply: Option<ReplyCut>,
    cuts: Arc<AtomicUsize>,
) {
    // A server that is gone at the end of a test is as gone to the client.
    let Ok(mut server) = UnixStream::connect(real).await else {
        return;
    };
    let (mut to_server, mut to_client) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut cut = None;
    loop {
        tokio::select! {
            read = client.read(&mut to_server) => {
                let read = read.unwrap_or(0);
                if read == 0 {
                    return;
                }
                let sent = &to_server[..read];
                // `B` binds parameters. Settings, locks and the start of a session are let through,
                // and so is an append that follows in further pieces.
                if sent[0] == b'B' && appends(sent) {
                    let exchange = exchanges.fetch_add(1, Ordering::Relaxed);
                    if reply.is_none() && exchange.is_multiple_of(every) {
                        cut = Some([Cut::Before, Cut::AtOnce, Cut::Answer][exchange / every % 3]);
                        cuts.fetch_add(1, Ordering::Relaxed);
                    }
                }
                if matches!(cut, Some(Cut::Before)) {
                    return;
                }
                if server.write_all(sent).await.is_err() {
                    return;
                }
                if matches!(cut, Some(Cut::AtOnce)) {
                    return;
                }
            }
            read = server.read(&mut to_client) => {
                let read = read.unwrap_or(0);
                if read == 0 || matches!(cut, Some(Cut::Answer)) {
                    return;
                }
                let cut_at = reply.as_mut().and_then(|cut| cut.within(&to_client[..read]));
                let passed = &to_client[..cut_at.unwrap_or(read)];
                if client.write_all(passed).await.is_err() {
                    return;
                }
                if cut_at.is_some() {
                    cuts.fetch_add(1, Ordering::Relaxed);
                    return;
                }
            }
        }
    }
}

/// Whether these bytes bind the parameters of an append: nothing else sends event types.
fn appends(sent: &[u8]) -> bool {
    sent.windows(8).any(|bytes| bytes == b"Happened")
}

/// Where the replies on a connection are cut.
struct ReplyCut {
    /// How many bytes come through first.
    left: usize,
    /// After a whole message, or within one.
    whole: bool,
    messages: Messages,
}

impl ReplyCut {
    /// Other places for each connection, and the same ones in every run.
    fn of_connection(connection: usize) -> Self {
        Self {
            left: 100_000 + connection * 7_654_321 % 4_000_000,
            whole: connection.is_multiple_of(2),
            messages: Messages::default(),
        }
    }

    /// How many of these bytes come through, if it is here.
    fn within(&mut self, bytes: &[u8]) -> Option<usize> {
        let end = self.messages.first_end(bytes);
        if self.left > bytes.len() {
            self.left -= bytes.len();
            return None;
        }
        // A piece of a long message may have no end in it; then it is in a later piece.
        if self.whole { end } else { Some(self.left) }
    }
}

/// Follows the messages of a server: a letter, a length that counts itself, and the rest.
#[derive(Default)]
struct Messages {
    head: Vec<u8>,
    rest: usize,
}

impl Messages {
    /// Where the first message that ends within these bytes does.
    fn first_end(&mut self, bytes: &[u8]) -> Option<usize> {
        let (mut first, mut at) = (None, 0);
        while at < bytes.len() {
            if self.head.len() < 5 {
                self.head.push(bytes[at]);
                at += 1;
                if let [_, a, b, c, d] = self.head[..] {
                    self.rest = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap() - 4;
                }
            } else {
                let step = self.rest.min(bytes.len() - at);
                self.rest -= step;
                at += step;
            }
            if self.head.len() == 5 && self.rest == 0 {
                self.head.clear();
                first = first.or(Some(at));
            }
        }
        first
    }
}
