//! A connection to an instance.
//!
//! Whoever asks on it drives it too, in its own task: nothing goes through a queue to another one, and back. In between nobody does,
//! so that a connection which has been closed meanwhile is found to be so by who wants to ask on it next.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use folio_postgres::Wakes;
use http_body_util::Full;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::alarm::Alarm;
use crate::links::Links;

/// What is asked.
pub(crate) type Sent = Full<Bytes>;
type Connection = http1::Connection<TokioIo<TcpStream>, Sent>;

/// A connection to an instance, on which one thing is asked at a time.
pub(crate) struct Link {
    sender: http1::SendRequest<Sent>,
    // None when it is over.
    connection: Option<Connection>,
    wakes: Wakes,
    alarm: Alarm,
    address: SocketAddr,
    host: HeaderValue,
    home: Weak<Links>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// Nothing of the request was sent; here it is again.
    Unsent(Box<Request<Sent>>, hyper::Error),
    /// It may have been received.
    Broken(hyper::Error),
    /// The time is over. It may have been received.
    Late,
}

impl Link {
    /// Connects. When it is not asked on any more, it goes home.
    ///
    /// # Errors
    ///
    /// When there is no connection to be had.
    pub(crate) async fn open(address: SocketAddr, home: Weak<Links>) -> io::Result<Box<Self>> {
        let stream = TcpStream::connect(address).await?;
        // A request is written in one go; waiting for more would only delay it.
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::Builder::new()
            // As one piece: two of them cost the system more than the copy of a body does.
            .writev(false)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // In a box: it is large, and goes from one to the other with every request.
        Ok(Box::new(Self {
            sender,
            connection: Some(connection),
            wakes: Wakes::new(),
            alarm: Alarm::default(),
            address,
            host: HeaderValue::try_from(address.to_string()).map_err(io::Error::other)?,
            home,
        }))
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether something can be asked on it, as far as is known here. That the other side has closed it meanwhile is found out when it is
    /// driven, before anything is sent.
    pub(crate) fn is_usable(&mut self) -> bool {
        if !self.sender.is_ready() {
            // It may not have been driven since its last answer was through. For now nobody waits for it.
            let mut nobody = Context::from_waker(Waker::noop());
            drive(&mut self.connection, &mut nobody);
        }
        self.connection.is_some() && self.sender.is_ready()
    }

    /// Asks, and waits for the head of the answer until then.
    ///
    /// # Errors
    ///
    /// [`Unanswered`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection: the request may have been received.
    pub(crate) fn ask(
        mut self: Box<Self>,
        mut request: Box<Request<Sent>>,
        until: Instant,
    ) -> impl Future<Output = Result<Response<Answer>, Unanswered>> {
        request.headers_mut().insert(HOST, self.host.clone());
        self.alarm.set(until);
        // In a box, of which one end is held: the future, which has room for a request, would else be copied from one to the next.
        let mut answer = Box::pin(self.sender.try_send_request(*request));
        let mut link = Some(self);
        poll_fn(move |task| {
            let Some(asked) = &mut link else {
                return Poll::Pending;
            };
            let Self {
                connection,
                alarm,
                wakes,
                ..
            } = &mut **asked;
            let answered = wakes.within(task, |task| {
                drive(connection, task);
                answer.as_mut().poll(task)
            });
            let answered = match answered {
                Poll::Ready(answered) => Some(answered),
                Poll::Pending => {
                    ready!(alarm.poll(task));
                    None
                }
            };
            // Once.
            let Some(link) = link.take() else {
                return Poll::Pending;
            };
            Poll::Ready(match answered {
                Some(Ok(answer)) => Ok(answer.map(|body| Answer::begin(body, link))),
                Some(Err(mut error)) => Err(match error.take_message() {
                    Some(request) => Unanswered::Unsent(Box::new(request), error.into_error()),
                    None => Unanswered::Broken(error.into_error()),
                }),
                None => Err(Unanswered::Late),
            })
        })
    }

    /// Leaves it to the next request, which finds out whether it is fit for one: to drive it for that now would be work for nothing.
    fn go_home(mut self: Box<Self>) {
        if let Some(home) = self.home.upgrade().filter(|_| self.connection.is_some()) {
            self.alarm.take_back();
            self.wakes.forget();
            home.keep(self);
        }
    }
}

fn drive(connection: &mut Option<Connection>, task: &mut Context<'_>) {
    let ended = connection
        .as_mut()
        .is_some_and(|connection| Pin::new(connection).poll(task).is_ready());
    // Whoever waits for something from it is told when it is dropped.
    if ended {
        *connection = None;
    }
}

/// The body of an answer, which drives the connection that it comes on.
#[derive(Debug)]
pub(crate) struct Answer {
    body: Incoming,
    // None when it is through.
    link: Option<Box<Link>>,
    // Told when what came before it has gone out.
    broken: Option<hyper::Error>,
}

impl Answer {
    fn begin(body: Incoming, mut link: Box<Link>) -> Self {
        link.alarm.take_back();
        let mut answer = Self {
            link: Some(link),
            body,
            broken: None,
        };
        if answer.body.is_end_stream() {
            answer.end();
        }
        answer
    }

    /// Has to be through by then.
    pub(crate) const fn due(&mut self, until: Instant) {
        if let Some(link) = &mut self.link {
            link.alarm.set(until);
        }
    }

    /// Whether it should be through by now, and is not.
    pub(crate) fn poll_late(&mut self, task: &mut Context<'_>) -> Poll<()> {
        match &mut self.link {
            Some(link) => link.alarm.poll(task),
            None => Poll::Pending,
        }
    }

    fn end(&mut self) {
        if let Some(link) = self.link.take() {
            link.go_home();
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        if let Some(error) = this.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let (link, body) = (&mut this.link, &mut this.body);
        let frame = match link {
            None => Pin::new(body).poll_frame(task),
            Some(link) => {
                let Link {
                    connection, wakes, ..
                } = &mut **link;
                wakes.within(task, |task| {
                    let frame = Pin::new(&mut *body).poll_frame(task);
                    if frame.is_ready() {
                        return frame;
                    }
                    drive(connection, task);
                    Pin::new(&mut *body).poll_frame(task)
                })
            }
        };
        let is_through = match &frame {
            Poll::Ready(Some(Ok(_))) => this.body.is_end_stream(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
            Poll::Ready(None) => true,
        };
        if is_through {
            this.end();
        }
        // The server throws away what it has not sent when it sees an error, and may have the head of the answer still.
        if let Poll::Ready(Some(Err(error))) = frame {
            this.broken = Some(error);
            task.waker().wake_by_ref();
            return Poll::Pending;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
