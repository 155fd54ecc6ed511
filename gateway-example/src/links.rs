//! Connections to instances that are kept for the next request of the same thread.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::Duration;

use hyper::{Request, Response};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout_at};

use crate::link::{Answer, Link, Sent, Unanswered};

/// Longest wait for a connection. Shorter than any try should be: of who takes no connection it is known that the request was not
/// received.
const CONNECT: Duration = Duration::from_millis(300);
/// Connections of which nobody has need are closed after this time, before the services close them.
const IDLE: Duration = Duration::from_secs(20);

/// The connections on which nothing is asked just now, by whom they lead to.
#[derive(Debug, Default)]
pub(crate) struct Links {
    // The std mutex: it is held for one look-up.
    idle: Mutex<Idle>,
}

#[derive(Debug, Default)]
struct Idle {
    /// Of each address, those that were used latest last. A connection stays where it is watched.
    by_place: HashMap<(ThreadId, SocketAddr), Vec<Kept>>,
    /// Whether somebody closes those of which nobody has need.
    is_swept: bool,
}

#[derive(Debug)]
struct Kept {
    link: Box<Link>,
    since: Instant,
}

/// Why an instance has not answered.
#[derive(Debug, Error)]
pub(crate) enum AskError {
    /// It was surely not received.
    #[error("it cannot be connected to")]
    Unsent(#[source] std::io::Error),
    /// It may have been received.
    #[error("it has broken the connection off")]
    Broken(#[source] hyper::Error),
    /// There was no answer in time.
    #[error("it has not answered in time")]
    Late,
}

impl Links {
    /// Asks whoever listens there, on a connection that is there or on a new one. The head of the answer has to be there in time.
    ///
    /// # Errors
    ///
    /// [`AskError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the request up, which may have been received.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        address: SocketAddr,
        mut request: Request<Sent>,
        until: Instant,
    ) -> Result<Response<Answer>, AskError> {
        // Those that were closed meanwhile are found out one after the other.
        while let Some(mut link) = self.kept(address) {
            if !link.is_usable().await {
                continue;
            }
            match link.ask(request, until).await {
                Ok(answer) => return Ok(answer),
                Err(Unanswered::Unsent(again, _)) => request = *again,
                Err(Unanswered::Broken(error)) => return Err(AskError::Broken(error)),
                Err(Unanswered::Late) => return Err(AskError::Late),
            }
        }
        let connecting = until.min(Instant::now() + CONNECT);
        let opened = timeout_at(connecting, Link::open(address, Arc::downgrade(self))).await;
        let link = match opened {
            Ok(opened) => opened.map_err(AskError::Unsent)?,
            // Whoever has no time says nothing of who does not take the connection.
            Err(_) if connecting == until => return Err(AskError::Late),
            Err(late) => return Err(AskError::Unsent(late.into())),
        };
        link.ask(request, until)
            .await
            .map_err(|unanswered| match unanswered {
                Unanswered::Unsent(_, error) => AskError::Unsent(std::io::Error::other(error)),
                Unanswered::Broken(error) => AskError::Broken(error),
                Unanswered::Late => AskError::Late,
            })
    }

    /// Keeps a connection for the next request.
    pub(crate) fn keep(self: Arc<Self>, link: Box<Link>) {
        let mut idle = self.idle();
        let kept = idle.by_place.entry(place(link.address())).or_default();
        let since = Instant::now();
        kept.push(Kept { link, since });
        if !std::mem::replace(&mut idle.is_swept, true) {
            tokio::spawn(sweep(Arc::downgrade(&self)));
        }
    }

    /// The one that was used latest: those that are not needed grow old.
    fn kept(&self, address: SocketAddr) -> Option<Box<Link>> {
        let mut idle = self.idle();
        let kept = idle.by_place.get_mut(&place(address))?.pop();
        let young = kept.filter(|kept| kept.since.elapsed() < IDLE);
        young.map(|kept| kept.link)
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Nothing panics under this lock.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out those that are too old. None is left to take where there are none any more.
    fn old(&self) -> Option<Vec<Kept>> {
        let (mut idle, mut old) = (self.idle(), Vec::new());
        idle.by_place.retain(|_, kept| {
            let young = kept.iter().position(|kept| kept.since.elapsed() < IDLE);
            old.extend(kept.drain(..young.unwrap_or(kept.len())));
            !kept.is_empty()
        });
        idle.is_swept = !idle.by_place.is_empty() || !old.is_empty();
        idle.is_swept.then_some(old)
    }
}

fn place(address: SocketAddr) -> (ThreadId, SocketAddr) {
    (thread::current().id(), address)
}

/// Closes connections of which nobody has need, as long as there are any.
async fn sweep(links: Weak<Links>) {
    loop {
        sleep(IDLE / 4).await;
        let Some(old) = links.upgrade().and_then(|links| links.old()) else {
            return;
        };
        drop(old);
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::mpsc;
    use tokio::time::{advance, pause, resume, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Answers so many requests on each connection, says then that it is closed, and how many it has had by then.
    async fn service(each: usize) -> (SocketAddr, mpsc::UnboundedReceiver<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (closed, closes) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            for connection in 1.. {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 1_024];
                for _ in 0..each {
                    if stream.read(&mut buffer).await.unwrap() == 0 {
                        break;
                    }
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
                    stream.write_all(answer).await.unwrap();
                }
                drop(stream);
                let _ = closed.send(connection);
            }
        });
        (address, closes)
    }

    async fn ask(links: &Arc<Links>, address: SocketAddr) {
        let request = Request::get("/x").body(Full::default()).unwrap();
        let answer = links.ask(address, request, Instant::now() + PATIENCE);
        let body = answer.await.unwrap().into_body().collect();
        assert_eq!(body.await.unwrap().to_bytes(), "{}");
    }

    #[tokio::test]
    async fn one_connection_serves_one_request_after_the_other() {
        let (links, (address, mut closes)) = (Arc::default(), service(5).await);
        for _ in 0..5 {
            ask(&links, address).await;
        }
        assert_eq!(closes.recv().await, Some(1));
    }

    #[tokio::test]
    async fn a_connection_that_was_closed_meanwhile_is_not_asked_on() {
        let (links, (address, mut closes)) = (Arc::default(), service(1).await);
        for connection in 1..=5 {
            ask(&links, address).await;
            assert_eq!(closes.recv().await, Some(connection));
            // Whatever came before this is known by then.
            let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
            TcpStream::connect(other.local_addr().unwrap())
                .await
                .unwrap();
        }
    }

    #[tokio::test]
    async fn a_connection_of_which_nobody_has_need_is_closed() {
        let (links, (address, mut closes)) = (Arc::default(), service(5).await);
        ask(&links, address).await;
        pause();
        advance(IDLE + IDLE / 2).await;
        resume();
        assert_eq!(timeout(PATIENCE, closes.recv()).await, Ok(Some(1)));
        ask(&links, address).await;
    }
}
