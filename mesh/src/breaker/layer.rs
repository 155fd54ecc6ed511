//! A breaker as a layer: whoever calls while it is open is told so at once.

use std::fmt::Debug;
use std::pin::Pin;
use std::task::{Context, Poll};

use folio_core::breaker::Refused;
use pin_project_lite::pin_project;
use thiserror::Error;
use tower_layer::Layer;
use tower_service::Service;

use super::classify::{Classify, EveryError};
use super::shared::CircuitBreaker;
use super::watched::Watched;

/// Puts a breaker around a service.
#[derive(Debug, Clone)]
pub struct BreakerLayer<C = EveryError> {
    breaker: CircuitBreaker,
    classify: C,
}

/// A service behind a breaker. Clones share the breaker.
#[derive(Debug, Clone)]
pub struct BreakerService<S, C = EveryError> {
    inner: S,
    breaker: CircuitBreaker,
    classify: C,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BreakerError<E> {
    /// The breaker is open; nothing was called.
    #[error(transparent)]
    Open(#[from] Refused),
    /// It was called, and this came of it.
    #[error(transparent)]
    Inner(E),
}

impl BreakerLayer {
    /// With every error as a failure.
    #[must_use]
    pub const fn new(breaker: CircuitBreaker) -> Self {
        Self {
            breaker,
            classify: EveryError,
        }
    }
}

impl<C> BreakerLayer<C> {
    /// With this saying what a failure is.
    #[must_use]
    pub fn classified_by<D>(self, classify: D) -> BreakerLayer<D> {
        BreakerLayer {
            breaker: self.breaker,
            classify,
        }
    }
}

impl<S, C: Clone> Layer<S> for BreakerLayer<C> {
    type Service = BreakerService<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        BreakerService {
            inner,
            breaker: self.breaker.clone(),
            classify: self.classify.clone(),
        }
    }
}

impl<S, C, Request> Service<Request> for BreakerService<S, C>
where
    S: Service<Request>,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = BreakerError<S::Error>;
    type Future = BreakerFuture<S::Future, C>;

    /// As ready as what it is around: whether it is open is said when it is called.
    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(task).map_err(BreakerError::Inner)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let state = match self.breaker.ask() {
            Ok(permit) => {
                let answer = self.inner.call(request);
                let call = Watched::new(Some(permit), self.classify.clone(), answer);
                State::Called { call }
            }
            Err(refused) => State::Refused { refused },
        };
        BreakerFuture { state }
    }
}

pin_project! {
    /// The answer of a service behind a breaker.
    #[derive(Debug)]
    pub struct BreakerFuture<F, C> {
        #[pin]
        state: State<F, C>,
    }
}

pin_project! {
    #[project = StateProjected]
    #[derive(Debug)]
    enum State<F, C> {
        Refused { refused: Refused },
        Called { #[pin] call: Watched<F, C> },
    }
}

impl<F, C, Response, Error> Future for BreakerFuture<F, C>
where
    F: Future<Output = Result<Response, Error>>,
    C: Classify<Response, Error>,
{
    type Output = Result<Response, BreakerError<Error>>;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjected::Refused { refused } => Poll::Ready(Err((*refused).into())),
            StateProjected::Called { call } => call.poll(task).map_err(BreakerError::Inner),
        }
    }
}
