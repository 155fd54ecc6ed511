//! By when an answer is wanted, and how long one try may take.
//!
//! A deadline goes from hop to hop and gets shorter: who calls on keeps a margin to answer in. What
//! nobody waits for any more is not begun.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};
use tower_layer::Layer;
use tower_service::Service;

/// The header in which a deadline goes on, as the milliseconds that are left.
pub const HEADER: &str = "folio-deadline-ms";

/// The longest time that a header may name.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// The moment by which somebody wants an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

/// What is no deadline.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{HEADER} {text:?} is no number of milliseconds from 0 to 86400000")]
pub struct InvalidDeadline {
    /// The refused text.
    pub text: String,
}

impl Deadline {
    /// So long from now.
    #[must_use]
    pub fn within(time: Duration) -> Self {
        Self::after(Instant::now(), time)
    }

    /// So long from then.
    #[must_use]
    pub fn after(began: Instant, time: Duration) -> Self {
        Self(began + time.min(LONGEST))
    }

    /// What is left; none when it has passed.
    #[must_use]
    pub fn left(self) -> Option<Duration> {
        self.left_at(Instant::now())
    }

    /// What was or will be left then; none when it had passed.
    #[must_use]
    pub fn left_at(self, now: Instant) -> Option<Duration> {
        let left = self.0.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// The moment itself.
    #[must_use]
    pub const fn at(self) -> Instant {
        self.0
    }

    /// What is asked of the next hop: earlier by a margin, in which its answer can be made one's own.
    #[must_use]
    pub fn less(self, margin: Duration) -> Self {
        Self(self.0.checked_sub(margin).unwrap_or(self.0))
    }

    /// As the value of the header: whole milliseconds, rounded down.
    #[must_use]
    pub fn header(self) -> String {
        self.left().unwrap_or_default().as_millis().to_string()
    }

    /// From the value of the header.
    ///
    /// # Errors
    ///
    /// [`InvalidDeadline`].
    pub fn from_header(text: &str) -> Result<Self, InvalidDeadline> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
        let time = text.parse().ok().map(Duration::from_millis);
        match time.filter(|time| is_plain && *time <= LONGEST) {
            Some(time) => Ok(Self::within(time)),
            None => Err(InvalidDeadline {
                text: text.to_owned(),
            }),
        }
    }
}

/// Gives each try a time, and no more than the request's deadline leaves.
#[derive(Debug, Clone)]
pub struct TimeLimitLayer<D> {
    each: Duration,
    deadline: D,
}

/// A service whose tries have a time. It belongs inside of a circuit breaker.
#[derive(Debug, Clone)]
pub struct TimeLimit<S, D> {
    inner: S,
    each: Duration,
    deadline: D,
}

/// Why a try came to nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TimeLimitError<E> {
    /// It took longer than a try may: what was called has failed.
    #[error("there was no answer within {} ms", each.as_millis())]
    Late {
        /// What a try may take.
        each: Duration,
    },
    /// Nobody waits for it any more. That says nothing of what was called, unless it was slow by then:
    /// [`CallOutcome::Abandoned`](folio_core::breaker::CallOutcome::Abandoned).
    #[error("the deadline has passed")]
    Passed,
    /// It was called, and this came of it.
    #[error(transparent)]
    Inner(E),
}

impl<D> TimeLimitLayer<D> {
    /// Each try may take this long. `deadline` finds the request's own, where it has one.
    pub const fn new(each: Duration, deadline: D) -> Self {
        Self { each, deadline }
    }
}

impl<S, D: Clone> Layer<S> for TimeLimitLayer<D> {
    type Service = TimeLimit<S, D>;

    fn layer(&self, inner: S) -> Self::Service {
        TimeLimit {
            inner,
            each: self.each,
            deadline: self.deadline.clone(),
        }
    }
}

impl<S, D, Request> Service<Request> for TimeLimit<S, D>
where
    S: Service<Request>,
    D: Fn(&Request) -> Option<Deadline>,
{
    type Response = S::Response;
    type Error = TimeLimitError<S::Error>;
    type Future = TimeLimitFuture<S::Future>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(task).map_err(TimeLimitError::Inner)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let left = match (self.deadline)(&request) {
            Some(deadline) => deadline.left().unwrap_or_default(),
            None => Duration::MAX,
        };
        let answer = (!left.is_zero()).then(|| self.inner.call(request));
        let limit = if left < self.each {
            Limit::Deadline
        } else {
            Limit::Each(self.each)
        };
        TimeLimitFuture {
            answer,
            over: sleep(left.min(self.each)),
            limit,
        }
    }
}

/// Which time is the shorter one.
#[derive(Debug, Clone, Copy)]
enum Limit {
    Each(Duration),
    Deadline,
}

pin_project! {
    /// The answer of a service whose tries have a time.
    #[derive(Debug)]
    pub struct TimeLimitFuture<F> {
        // None where there is no time left to ask in.
        #[pin]
        answer: Option<F>,
        #[pin]
        over: Sleep,
        limit: Limit,
    }
}

impl<F, Response, Error> Future for TimeLimitFuture<F>
where
    F: Future<Output = Result<Response, Error>>,
{
    type Output = Result<Response, TimeLimitError<Error>>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(answer) = this.answer.as_pin_mut() else {
            return Poll::Ready(Err(TimeLimitError::Passed));
        };
        if let Poll::Ready(answer) = answer.poll(task) {
            return Poll::Ready(answer.map_err(TimeLimitError::Inner));
        }
        ready!(this.over.poll(task));
        Poll::Ready(Err(match *this.limit {
            Limit::Each(each) => TimeLimitError::Late { each },
            Limit::Deadline => TimeLimitError::Passed,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_deadline_gets_shorter_from_hop_to_hop() {
        let deadline = Deadline::within(10 * SECOND);
        tokio::time::advance(3 * SECOND).await;
        assert_eq!(deadline.left(), Some(7 * SECOND));
        let next = Deadline::from_header(&deadline.less(SECOND / 2).header()).unwrap();
        assert_eq!(next.left(), Some(6_500 * SECOND / 1_000));
        tokio::time::advance(7 * SECOND).await;
        assert_eq!((next.left(), deadline.left()), (None, None));
        assert_eq!(next.header(), "0");
        for wrong in ["", "-1", "+1", "1.5", "86400001", "soon"] {
            assert!(Deadline::from_header(wrong).is_err(), "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_ends_with_its_time_or_with_the_deadline() {
        let of_request = |deadline: &Option<Deadline>| *deadline;
        let layer = TimeLimitLayer::new(2 * SECOND, of_request);
        let hangs = layer.layer(service_fn(|_| pending::<Result<(), &str>>()));
        let ask = |deadline| hangs.clone().oneshot(deadline);
        let began = Instant::now();
        let late = TimeLimitError::Late { each: 2 * SECOND };
        assert_eq!(ask(None).await, Err(late));
        assert_eq!(began.elapsed().as_secs(), 2);

        let began = Instant::now();
        let soon = Deadline::within(SECOND);
        assert_eq!(ask(Some(soon)).await, Err(TimeLimitError::Passed));
        assert_eq!(began.elapsed().as_secs(), 1);
    }

    /// What nobody waits for any more is not even begun.
    #[tokio::test(start_paused = true)]
    async fn after_the_deadline_nothing_is_called() {
        let of_request = |deadline: &Option<Deadline>| *deadline;
        let answers = service_fn(|_| ready(Ok::<_, &str>("answered")));
        let service = TimeLimitLayer::new(2 * SECOND, of_request).layer(answers);
        let deadline = Deadline::within(SECOND);
        let ask = || service.clone().oneshot(Some(deadline));
        assert_eq!(ask().await, Ok("answered"));
        tokio::time::advance(SECOND).await;
        assert_eq!(ask().await, Err(TimeLimitError::Passed));
    }
}
