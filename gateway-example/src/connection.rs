//! One connection of a client, until it is closed.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper_util::server::graceful::GracefulConnection;
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};

use crate::idle::{Activity, Unused};
use crate::traffic::Traffic;

/// How long others may go on where one answer on a connection is not taken. Longer than any request takes that has an end.
const OTHERS: Duration = Duration::from_secs(30);

/// Serves a connection until it ends. It is closed when it has been idle for that long, and when it is `told` to close: after the
/// answer to what was asked on it by then. Where nothing of an answer was taken for that long it is closed to new requests, as others
/// may share it behind a proxy, and broken off when it is so with all that are under way. Where it is flooded it is broken off, once
/// that is said.
///
/// # Cancel safety
///
/// Dropping the future breaks the connection off.
pub(crate) async fn hold<C: GracefulConnection>(
    connection: C,
    activity: Activity,
    traffic: Traffic,
    idle: Duration,
    mut told: watch::Receiver<()>,
) -> Result<(), C::Error> {
    let mut connection = pin!(connection);
    let mut is_closing = false;
    let mut broken_off_at: Option<Instant> = None;
    loop {
        {
            // What is seldom is looked at only when it has news, and not whenever the connection has: so it is in a set of its own.
            let at = broken_off_at;
            let over = async {
                tokio::select! {
                    biased;
                    unused = activity.unused_for(idle) => Over::Unused(unused),
                    () = until(at) => Over::Unused(Unused::Stalled),
                    () = activity.stalls_for(idle), if !is_closing => Over::Stalls,
                    _ = told.changed(), if !is_closing => Over::Told,
                }
            };
            let mut over = FuturesUnordered::from_iter([over]);
            // It stops of itself now and then, however much comes.
            let served = poll_fn(|task| match connection.as_mut().poll(task) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if traffic.is_flood() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            });
            tokio::select! {
                biased;
                ended = served => match ended {
                    Some(ended) => return ended,
                    None => {
                        metrics::counter!("folio_gateway_floods_total").increment(1);
                        connection.as_mut().graceful_shutdown();
                        // Once: what it writes then is that it goes away.
                        let _ = poll_fn(|task| Poll::Ready(connection.as_mut().poll(task))).await;
                        return Ok(());
                    }
                },
                over = over.next() => match over {
                    Some(Over::Unused(Unused::Stalled)) => return Ok(()),
                    Some(Over::Unused(Unused::Idle)) if is_closing => return Ok(()),
                    Some(Over::Stalls) => broken_off_at = Some(Instant::now() + OTHERS),
                    Some(Over::Unused(Unused::Idle) | Over::Told) | None => {}
                },
            }
        }
        // What has come by now may still be with the system. Who sent it would be broken off, and not know what became of it: so
        // the runtime looks for it, and it is read, before this is closed.
        yield_now().await;
        if let Poll::Ready(ended) =
            poll_fn(|task| Poll::Ready(connection.as_mut().poll(task))).await
        {
            return ended;
        }
        connection.as_mut().graceful_shutdown();
        is_closing = true;
        // Whoever does not let it close has as long for that.
        activity.touch();
    }
}

/// Why a connection does not go on as it did.
enum Over {
    Unused(Unused),
    /// One answer on it is not taken.
    Stalls,
    Told,
}

/// For ever, where there is no such moment.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::io::{Read as _, Write as _};

    use http_body_util::Full;
    use hyper::body::{Bytes, Incoming};
    use hyper::service::service_fn;
    use hyper::{Request, Response};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::server::conn::auto::Builder;
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

    /// What came last before a connection was closed was with the system yet when it was closed, and was never read: the client
    /// saw its connection broken off under its request.
    #[tokio::test]
    async fn what_is_asked_just_before_a_connection_is_closed_is_answered() {
        for requests_before in [0, 1] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            client.set_nonblocking(true).unwrap();
            let (stream, _) = listener.accept().await.unwrap();
            let (close, told) = watch::channel(());
            let activity = Activity::begin();
            let (asked, mut answered) = watch::channel(());
            let service = service_fn(move |_: Request<Incoming>| {
                let _ = asked.send(());
                async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("well")))) }
            });
            let held = tokio::spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                hold(connection, activity, Traffic::begin(), PATIENCE, told)
                    .await
                    .unwrap();
            });
            for _ in 0..requests_before {
                client.write_all(REQUEST).unwrap();
                timeout(PATIENCE, answered.changed())
                    .await
                    .unwrap()
                    .unwrap();
            }
            yield_now().await;
            // Nothing else runs between these two.
            client.write_all(REQUEST).unwrap();
            close.send(()).unwrap();
            timeout(PATIENCE, held).await.unwrap().unwrap();
            client.set_nonblocking(false).unwrap();
            let mut answers = String::new();
            client.read_to_string(&mut answers).unwrap();
            let count = answers.matches("HTTP/1.1 200").count();
            assert_eq!(count, requests_before + 1, "{answers}");
        }
    }
}
