//! What to answer when there is no answer: for reads, which may be old.
//!
//! A write has none. That it was done must not be said where nobody knows, so its caller is told that it was
//! not, and tries again with the same idempotency key.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Sleep, sleep};
use tower_layer::Layer;
use tower_service::Service;

/// Has another answer for requests that have one.
#[derive(Debug, Clone)]
pub struct FallbackLayer<A> {
    alternative: A,
    within: Duration,
}

/// A service that has another answer for some requests.
#[derive(Debug, Clone)]
pub struct Fallback<S, A> {
    inner: S,
    alternative: A,
    within: Duration,
}

impl<A> FallbackLayer<A> {
    /// `alternative` is shown each request before it is sent. For those that may be answered otherwise it
    /// gives a future that does so, which is not begun before it is needed, and has this time. If it
    /// fails as well, or is late, the caller is told of the first failure.
    pub const fn new(alternative: A, within: Duration) -> Self {
        Self {
            alternative,
            within,
        }
    }
}

impl<S, A: Clone> Layer<S> for FallbackLayer<A> {
    type Service = Fallback<S, A>;

    fn layer(&self, inner: S) -> Self::Service {
        Fallback {
            inner,
            alternative: self.alternative.clone(),
            within: self.within,
        }
    }
}

impl<S, A, F, Request> Service<Request> for Fallback<S, A>
where
    S: Service<Request>,
    A: Fn(&Request) -> Option<F>,
    F: Future<Output = Result<S::Response, S::Error>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = FallbackFuture<S::Future, F, S::Error>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(task)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let alternative = (self.alternative)(&request);
        FallbackFuture {
            alternative,
            within: self.within,
            step: Step::First {
                answer: self.inner.call(request),
            },
        }
    }
}

pin_project! {
    /// The answer of a service, or what is answered instead.
    #[derive(Debug)]
    pub struct FallbackFuture<F, A, E> {
        alternative: Option<A>,
        within: Duration,
        #[pin]
        step: Step<F, A, E>,
    }
}

pin_project! {
    #[project = StepProjected]
    #[derive(Debug)]
    enum Step<F, A, E> {
        First { #[pin] answer: F },
        Instead {
            #[pin]
            answer: A,
            #[pin]
            late: Sleep,
            // Of the first one.
            failure: Option<E>,
        },
    }
}

impl<F, A, Response, Error> Future for FallbackFuture<F, A, Error>
where
    F: Future<Output = Result<Response, Error>>,
    A: Future<Output = Result<Response, Error>>,
{
    type Output = Result<Response, Error>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.step.as_mut().project() {
                StepProjected::First { answer } => {
                    let failure = match ready!(answer.poll(task)) {
                        Ok(response) => return Poll::Ready(Ok(response)),
                        Err(failure) => failure,
                    };
                    let Some(alternative) = this.alternative.take() else {
                        return Poll::Ready(Err(failure));
                    };
                    Step::Instead {
                        answer: alternative,
                        late: sleep(*this.within),
                        failure: Some(failure),
                    }
                }
                StepProjected::Instead {
                    answer,
                    late,
                    failure,
                } => {
                    let instead = match answer.poll(task) {
                        Poll::Ready(instead) => instead.ok(),
                        Poll::Pending => {
                            ready!(late.poll(task));
                            None
                        }
                    };
                    return match (instead, failure.take()) {
                        (Some(response), _) => Poll::Ready(Ok(response)),
                        (None, Some(failure)) => Poll::Ready(Err(failure)),
                        // It has been answered already, and is not to be polled again.
                        (None, None) => Poll::Pending,
                    };
                }
            };
            this.step.set(next);
        }
    }
}
