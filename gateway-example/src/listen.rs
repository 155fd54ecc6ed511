//! Accepts connections, and holds them to what a client may hold.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::address::Client;
use crate::alarm::ConnectionTimer;
use crate::config::Bounds;
use crate::connection::hold;
use crate::gateway::Gateway;
use crate::idle::Activity;
use crate::limits::LimitKey;
use crate::traffic::{Metered, Traffic};
use crate::workers::Workers;

/// Wait after the system has no more room for a connection.
const NO_ROOM: Duration = Duration::from_millis(50);
/// How much longer a connection may be idle than headers may take: whoever is slow with those is told so.
const GRACE: Duration = Duration::from_millis(500);
/// How long it goes on when it is told to stop, and says with every answer that it closes the connection. Those that are used
/// are closed by that; what is closed at the end has not been used for as long, or whoever sent something on it just then
/// would not know what became of that.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long those are still accepted who have connected by the end of it.
const BACKLOG: Duration = Duration::from_secs(1);
/// Time for the first request of whoever was accepted last. A connection of which nothing was read yet is broken off by
/// the drain.
const FIRST_REQUEST: Duration = Duration::from_millis(500);
/// Streams of an HTTP/2 connection at a time.
const STREAMS_MAX: u32 = 100;
/// Streams that a client has reset and nobody has looked at yet, until its connection is closed: CVE-2023-44487.
const RESETS_MAX: usize = 20;
/// Streams that had to be reset because of what the client sent, until its connection is closed: CVE-2025-8671.
const OWN_RESETS_MAX: usize = 64;
const STREAM_WINDOW: u32 = 64 * 1_024;
const CONNECTION_WINDOW: u32 = 1_024 * 1_024;
/// How often a silent HTTP/2 connection is asked whether it is still there, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_WITHIN: Duration = Duration::from_secs(10);

/// Serves until `stop` completes: then it is draining, closes each connection with its next answer, soon takes no more of them,
/// and lets requests under way finish, for as long as `bounds` say.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    gateway: Gateway,
    bounds: Bounds,
    stop: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let connections = Arc::new(Connections::new(bounds));
    let builder = builder(bounds);
    let workers = Workers::start()?;
    let (close, told) = watch::channel(());
    let said = gateway.clone();
    let mut stop = pin!(async move {
        stop.await;
        said.begin_draining();
        sleep(FAREWELL).await;
    });
    let mut ended: Option<Instant> = None;
    // However many go on connecting.
    while ended.is_none_or(|ended| ended.elapsed() < BACKLOG) {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            // Whoever has connected by then is answered: closing the listener would break them off.
            () = std::future::ready(()), if ended.is_some() => break,
            () = &mut stop, if ended.is_none() => {
                ended = Some(Instant::now());
                continue;
            }
        };
        let (stream, peer) = match accepted {
            Ok((stream, peer)) => (stream, peer.ip().to_canonical()),
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                sleep(NO_ROOM).await;
                continue;
            }
        };
        let Some(place) = connections.admit(peer) else {
            metrics::counter!("folio_gateway_connections_refused_total").increment(1);
            continue;
        };
        let (mut builder, gateway, told) = (builder.clone(), gateway.clone(), told.clone());
        builder.http1().timer(ConnectionTimer::default());
        let idle = Duration::from_millis(bounds.header_ms.into()).saturating_add(GRACE);
        // Its thread watches it from now on, and ours no more.
        let Ok(stream) = stream.into_std() else {
            continue;
        };
        workers.serve(async move {
            let _place = place;
            let Ok(stream) = TcpStream::from_std(stream) else {
                return;
            };
            let client = Client::at(peer);
            let (activity, traffic) = (Activity::begin(), Traffic::begin());
            let (asked, expected) = (activity.clone(), traffic.clone());
            let (door, of_client) = (gateway.clone(), client.clone());
            let service = service_fn(move |request: Request<Incoming>| {
                let busy = asked.busy();
                let body = request.body().size_hint().upper();
                let body = body.unwrap_or(u64::MAX).min(bounds.body_bytes.into());
                expected.announce(bounds.header_bytes.into(), body);
                let answer = door.clone().handle(request, of_client.clone());
                answer.map(|mut answer| {
                    answer.body_mut().keep_busy(busy);
                    Ok::<_, Infallible>(answer)
                })
            });
            let stream = prepared(stream, traffic.clone());
            let connection = builder.serve_connection(stream, service);
            if let Err(error) = hold(connection, activity, traffic, idle, told).await {
                gateway.note_unread(client, &*error);
                tracing::debug!(error, %peer, "a connection ended badly");
            }
        });
    }
    drop(listener);
    sleep(FIRST_REQUEST).await;
    drop(told);
    let _ = close.send(());
    let drain = Duration::from_millis(bounds.drain_ms.into());
    if timeout(drain, close.closed()).await.is_err() {
        tracing::warn!("requests were still under way at the end of the drain");
    }
    Ok(())
}

fn prepared(stream: TcpStream, traffic: Traffic) -> TokioIo<Metered<TcpStream>> {
    // An answer is written in one go; waiting for more would only delay it.
    let _ = stream.set_nodelay(true);
    TokioIo::new(Metered::new(stream, traffic))
}

fn builder(bounds: Bounds) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let header_bytes = usize::try_from(bounds.header_bytes).unwrap_or(usize::MAX);
    builder
        .http1()
        // Without a timer the next line would do nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_millis(bounds.header_ms.into()))
        .max_buf_size(header_bytes)
        // A head and a body that is there are sent as one piece: two of them cost the system more than the copy does.
        .writev(false);
    // No request has more than a hundred headers: so it is if nothing is said, and to say so would have room made for them anew for
    // each request.
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(RESETS_MAX)
        .max_local_error_reset_streams(OWN_RESETS_MAX)
        .max_header_list_size(bounds.header_bytes)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN);
    builder
}

fn is_of_one_connection(error: &io::Error) -> bool {
    [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::ConnectionReset,
    ]
    .contains(&error.kind())
}

/// How many connections there are, in all and of each address.
#[derive(Debug)]
struct Connections {
    all: Arc<Semaphore>,
    // The std mutex: it is held for one look-up.
    by_address: Mutex<HashMap<LimitKey, u32>>,
    per_address: u32,
}

/// The place of a connection.
#[derive(Debug)]
struct Place {
    _all: OwnedSemaphorePermit,
    of: Arc<Connections>,
    address: LimitKey,
}

impl Connections {
    fn new(bounds: Bounds) -> Self {
        let all = usize::try_from(bounds.connections).unwrap_or(usize::MAX);
        Self {
            all: Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS))),
            by_address: Mutex::default(),
            per_address: bounds.connections_per_address,
        }
    }

    fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        // Nothing panics under this lock.
        let mut by_address = self
            .by_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // A host may take any address of its network.
        let address = LimitKey::address(address);
        let count = by_address.entry(address.clone()).or_default();
        if *count >= self.per_address {
            return None;
        }
        *count = count.saturating_add(1);
        Some(Place {
            _all: all,
            of: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let by_address = self.of.by_address.lock();
        let mut by_address = by_address.unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}
