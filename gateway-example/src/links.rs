//! Connections to instances that are kept for the next request of the same thread.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
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
    by_place: BTreeMap<Place, Vec<Kept>>,
    /// Whether somebody closes those of which nobody has need.
    is_swept: bool,
}

/// A thread, and whom a connection of it leads to.
type Place = (usize, SocketAddr);

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
    Unsent(#[source] io::Error),
    /// It may have been received.
    #[error("it has broken the connection off")]
    Broken(#[source] hyper::Error),
    /// There was no answer in time.
    #[error("it has not answered in time")]
    Late,
}

impl Links {
    /// Asks whoever listens there, on a connection that is there or on a new one, from now on. The head of the answer has to be there
    /// in time.
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
        mut request: Box<Request<Sent>>,
        Range { start, end: until }: Range<Instant>,
    ) -> Result<Response<Answer>, AskError> {
        loop {
            let (link, is_new) = match self.kept(address, start) {
                Some(link) => (link, false),
                // In a box: it is needed seldom, and every request would have room for it.
                None => (Box::pin(self.open(address, until)).await?, true),
            };
            match link.ask(request, until).await {
                Ok(answer) => return Ok(answer),
                Err(Unanswered::Unsent(again, _)) if !is_new => request = again,
                Err(Unanswered::Unsent(_, error)) => {
                    return Err(AskError::Unsent(io::Error::other(error)));
                }
                Err(Unanswered::Broken(error)) => return Err(AskError::Broken(error)),
                Err(Unanswered::Late) => return Err(AskError::Late),
            }
        }
    }

    async fn open(
        self: &Arc<Self>,
        address: SocketAddr,
        until: Instant,
    ) -> Result<Box<Link>, AskError> {
        let connecting = until.min(Instant::now() + CONNECT);
        let opened = timeout_at(connecting, Link::open(address, Arc::downgrade(self))).await;
        match opened {
            Ok(opened) => opened.map_err(AskError::Unsent),
            // Whoever has no time says nothing of who does not take the connection.
            Err(_) if connecting == until => Err(AskError::Late),
            Err(late) => Err(AskError::Unsent(late.into())),
        }
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

    /// Of those that were not closed meanwhile the one that was used latest: those that are not needed grow old.
    fn kept(&self, address: SocketAddr, now: Instant) -> Option<Box<Link>> {
        loop {
            let mut kept = self.idle().by_place.get_mut(&place(address))?.pop()?;
            if now.saturating_duration_since(kept.since) >= IDLE {
                return None;
            }
            // Not under the lock.
            if kept.link.is_usable() {
                return Some(kept.link);
            }
        }
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

fn place(address: SocketAddr) -> Place {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    (THREAD.with(|thread| *thread), address)
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
    use std::future::poll_fn;
    use std::pin::pin;

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
        let now = Instant::now();
        let answer = links.ask(address, Box::new(request), now..now + PATIENCE);
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

    /// It was told of all that it did on the connection itself, and polled for that too.
    #[tokio::test]
    async fn who_asks_is_polled_to_ask_and_when_the_answer_is_there() {
        let (links, (address, _closes)) = (Arc::default(), service(5).await);
        ask(&links, address).await;
        let (mut polls, mut asking) = (0, pin!(ask(&links, address)));
        poll_fn(|task| {
            polls += 1;
            asking.as_mut().poll(task)
        })
        .await;
        assert_eq!(polls, 2);
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
