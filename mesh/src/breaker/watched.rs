//! A call whose outcome a breaker is told.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::classify::Classify;
use super::shared::CallPermit;

pin_project! {
    /// A call whose outcome a breaker is told. Dropped, it tells that the caller has gone.
    #[derive(Debug)]
    pub struct Watched<F, C> {
        permit: Option<CallPermit>,
        classify: C,
        #[pin]
        answer: F,
    }
}

impl<F, C> Watched<F, C> {
    pub(super) const fn new(permit: Option<CallPermit>, classify: C, answer: F) -> Self {
        Self {
            permit,
            classify,
            answer,
        }
    }
}

impl<F, C, Response, Error> Future for Watched<F, C>
where
    F: Future<Output = Result<Response, Error>>,
    C: Classify<Response, Error>,
{
    type Output = Result<Response, Error>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.answer.poll(task));
        if let Some(permit) = this.permit.take() {
            permit.record(this.classify.classify(&answer));
        }
        Poll::Ready(answer)
    }
}
