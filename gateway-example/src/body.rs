//! The bodies of requests, which are read whole, and those of answers, which are passed on as they come.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use folio_core::breaker::CallOutcome;
use folio_mesh::balance::InstanceCall;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::timeout;

use crate::idle::Busy;
use crate::link::Answer;
use crate::places::Place;
use crate::problem::Problem;

/// Why an answer ends before its end. The client sees the connection broken off, and never a whole short answer.
pub(crate) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of an answer. What became of a call is known with its last byte.
pub struct AnswerBody {
    inner: Inner,
    call: Option<InstanceCall>,
    // Freed when the answer is through.
    place: Option<Place>,
    busy: Option<Busy>,
}

enum Inner {
    /// The door's own.
    Whole(Full<Bytes>),
    /// An instance's.
    Answer(Answer),
}

impl AnswerBody {
    /// These bytes.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        Self::begin(Inner::Whole(Full::new(bytes)), None)
    }

    /// The answer of an instance of which it is known already what became of the call.
    pub(crate) const fn plain(answer: Answer) -> Self {
        Self::begin(Inner::Answer(answer), None)
    }

    /// The answer of an instance.
    pub(crate) const fn of(answer: Answer, call: InstanceCall) -> Self {
        Self::begin(Inner::Answer(answer), Some(call))
    }

    const fn begin(inner: Inner, call: Option<InstanceCall>) -> Self {
        Self {
            inner,
            call,
            place: None,
            busy: None,
        }
    }

    /// Holds a place until it is through.
    pub(crate) fn hold(&mut self, place: Place) {
        self.place = Some(place);
    }

    /// Its connection is busy until it is through, or until nothing of it is taken for too long.
    pub(crate) fn keep_busy(&mut self, busy: Busy) {
        busy.offered();
        self.busy = Some(busy);
    }

    fn record(&mut self, outcome: CallOutcome) {
        if let Some(call) = self.call.take() {
            call.record(outcome);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = this.poll_inner(task);
        if let Some(busy) = &this.busy {
            match &frame {
                Poll::Ready(Some(Ok(_))) if !this.inner.is_end_stream() => busy.offered(),
                Poll::Ready(_) => {}
                Poll::Pending => busy.is_worked_on(),
            }
        }
        frame
    }

    // Never the end before it was polled to: what became of the call would not be told.
    fn is_end_stream(&self) -> bool {
        self.call.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Whole(bytes) => bytes.size_hint(),
            Inner::Answer(answer) => answer.size_hint(),
        }
    }
}

impl AnswerBody {
    fn poll_inner(
        &mut self,
        task: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let answer = match &mut self.inner {
            Inner::Whole(bytes) => {
                let frame = Pin::new(bytes).poll_frame(task);
                return frame.map_err(|never| match never {});
            }
            Inner::Answer(answer) => answer,
        };
        let frame = Pin::new(&mut *answer).poll_frame(task);
        let outcome = match &frame {
            Poll::Ready(Some(Err(_))) => Some(CallOutcome::Failure),
            Poll::Ready(None) => Some(CallOutcome::Success),
            Poll::Ready(Some(Ok(_))) if answer.is_end_stream() => Some(CallOutcome::Success),
            // After this there would have to be more.
            Poll::Ready(Some(Ok(_))) | Poll::Pending => {
                if answer.poll_late(task).is_ready() {
                    self.record(CallOutcome::Abandoned);
                    return Poll::Ready(Some(Err("the answer took too long".into())));
                }
                None
            }
        };
        if let Some(outcome) = outcome {
            self.record(outcome);
        }
        frame.map_err(BodyError::from)
    }
}

impl Inner {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_end_stream(),
            Self::Answer(answer) => answer.is_end_stream(),
        }
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
    // Most requests only ask: there is nothing to wait for.
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let collected = Limited::new(body, bytes_max).collect();
    // In a box: who only asks would have room for it.
    match Box::pin(timeout(within, collected)).await {
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
