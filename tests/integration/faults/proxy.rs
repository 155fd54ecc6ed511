//! A proxy in front of a server's socket that cuts connections when it is told to.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
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

/// Forwards to a server, and cuts every `every`-th exchange that appends.
pub(super) struct Proxy {
    folder: TempDir,
    server: Config,
    cuts: Arc<AtomicUsize>,
}

impl Proxy {
    pub(super) fn start(server: &Config, every: usize) -> Self {
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
        tokio::spawn(async move {
            let exchanges = Arc::new(AtomicUsize::new(0));
            while let Ok((client, _)) = listener.accept().await {
                let session = forward(
                    client,
                    real.clone(),
                    Arc::clone(&exchanges),
                    every,
                    Arc::clone(&counted),
                );
                tokio::spawn(session);
            }
        });
        Self {
            folder,
            server: server.clone(),
            cuts,
        }
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
    cuts: Arc<AtomicUsize>,
) {
    let mut server = UnixStream::connect(real).await.unwrap();
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
                    if exchange.is_multiple_of(every) {
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
                if client.write_all(&to_client[..read]).await.is_err() {
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
