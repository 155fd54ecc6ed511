//! The bodies of requests, which are read whole, and those of answers, which are passed on as they come.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use folio_core::breaker::CallOutcome;
use folio_mesh::balance::InstanceCall;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep, sleep_until, timeout_at};

use crate::idle::Busy;
use crate::problem::Problem;

/// Why an answer ends before its end. The client sees the connection broken off, and never a whole short answer.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;
type Inner = UnsyncBoxBody<Bytes, BodyError>;

pin_project! {
    /// The body of an answer. What became of a call is known with its last byte.
    pub struct AnswerBody {
        #[pin]
        inner: Inner,
        call: Option<InstanceCall>,
        // Freed when the answer is through.
        place: Option<OwnedSemaphorePermit>,
        busy: Option<Busy>,
        #[pin]
        over: Option<Sleep>,
    }
}

impl AnswerBody {
    /// One that nobody was called for.
    pub(crate) const fn plain(inner: Inner) -> Self {
        Self {
            inner,
            call: None,
            place: None,
            busy: None,
            over: None,
        }
    }

    /// These bytes.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::plain(
            Full::new(bytes)
                .map_err(|never| match never {})
                .boxed_unsync(),
        )
    }

    /// The answer of an instance, which has to be through by then.
    pub(crate) fn of(inner: Inner, call: InstanceCall, until: Option<Instant>) -> Self {
        Self {
            inner,
            call: Some(call),
            place: None,
            busy: None,
            over: until.map(sleep_until),
        }
    }

    /// Holds a place until it is through.
    pub(crate) fn holding(mut self, place: OwnedSemaphorePermit) -> Self {
        self.place = Some(place);
        self
    }

    /// Its connection is busy until it is through.
    pub(crate) fn during(mut self, busy: Busy) -> Self {
        self.busy = Some(busy);
        self
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.project();
        if let Some(over) = this.over.as_pin_mut()
            && over.poll(task).is_ready()
        {
            if let Some(call) = this.call.take() {
                call.record(CallOutcome::Abandoned);
            }
            return Poll::Ready(Some(Err("the answer took too long".into())));
        }
        let is_end = this.inner.is_end_stream();
        let frame = if is_end {
            None
        } else {
            ready!(this.inner.poll_frame(task))
        };
        let outcome = match &frame {
            Some(Ok(_)) => None,
            Some(Err(_)) => Some(CallOutcome::Failure),
            None => Some(CallOutcome::Success),
        };
        if let (Some(outcome), Some(call)) = (outcome, this.call.take_if(|_| outcome.is_some())) {
            call.record(outcome);
        }
        Poll::Ready(frame)
    }

    // Never the end before it was polled to: what became of the call would not be told.
    fn is_end_stream(&self) -> bool {
        self.call.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}

/// Reads a request's body whole, so that it can be sent again, and no slow client holds up an instance.
pub(crate) async fn read_whole<B>(
    body: B,
    bytes_max: usize,
    within: Duration,
) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BodyError>,
{
    let too_large = || {
        Problem::client(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            format!("a body may have {bytes_max} bytes; send it in parts"),
        )
    };
    let honest = body.size_hint().lower();
    if usize::try_from(honest).map_or(true, |honest| honest > bytes_max) {
        return Err(too_large());
    }
    let collected = Limited::new(body, bytes_max).collect();
    match timeout_at(Instant::now() + within, collected).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_)) => Err(Problem::client(
            StatusCode::BAD_REQUEST,
            "body_incomplete",
            "the body ends before its end, or is not framed as HTTP says",
        )),
        Err(_) => Err(Problem::client(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            format!("a body has to be there within {} ms", within.as_millis()),
        )),
    }
}
