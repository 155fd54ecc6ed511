//! A breaker as a gate: while it is open its service is not ready, so that a balancer takes another one.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tower_layer::Layer;
use tower_service::Service;

use super::classify::{Classify, EveryError};
use super::shared::{CallPermit, CircuitBreaker};
use super::watched::Watched;

/// Longest wait while nobody says when asking again may help.
const PATIENCE: Duration = Duration::from_secs(60);

/// Puts a gate before a service.
#[derive(Debug, Clone)]
pub struct GateLayer<C = EveryError> {
    breaker: CircuitBreaker,
    classify: C,
}

/// A service that is ready while its breaker lets calls through. Clones share the breaker.
///
/// It has a place when it is ready, also that of a probe. So whoever was told that it is ready should call,
/// or drop it.
pub struct Gate<S, C = EveryError> {
    inner: S,
    breaker: CircuitBreaker,
    classify: C,
    permit: Option<CallPermit>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl GateLayer {
    /// With every error as a failure.
    #[must_use]
    pub const fn new(breaker: CircuitBreaker) -> Self {
        Self {
            breaker,
            classify: EveryError,
        }
    }
}

impl<C> GateLayer<C> {
    /// With this saying what a failure is.
    #[must_use]
    pub fn classified_by<D>(self, classify: D) -> GateLayer<D> {
        GateLayer {
            breaker: self.breaker,
            classify,
        }
    }
}

impl<S, C: Clone> Layer<S> for GateLayer<C> {
    type Service = Gate<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Gate {
            inner,
            breaker: self.breaker.clone(),
            classify: self.classify.clone(),
            permit: None,
            waiting: None,
        }
    }
}

impl<S, C, Request> Service<Request> for Gate<S, C>
where
    S: Service<Request>,
    C: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Watched<S::Future, C>;

    fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // First, so that no place is held while there is somebody else to wait for.
        ready!(self.inner.poll_ready(task))?;
        while self.permit.is_none() {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(task));
                self.waiting = None;
            }
            // Before asking, so that no transition is missed in between.
            let mut transitions = self.breaker.transitions();
            match self.breaker.ask() {
                Ok(permit) => self.permit = Some(permit),
                Err(refused) => {
                    let time = refused.retry_after.unwrap_or(PATIENCE);
                    self.waiting = Some(Box::pin(async move {
                        let _ = tokio::time::timeout(time, transitions.recv()).await;
                    }));
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let permit = self.permit.take();
        Watched::new(permit, self.classify.clone(), self.inner.call(request))
    }
}

impl<S: Clone, C: Clone> Clone for Gate<S, C> {
    /// Without the place that this one may have.
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            breaker: self.breaker.clone(),
            classify: self.classify.clone(),
            permit: None,
            waiting: None,
        }
    }
}

impl<S: fmt::Debug, C: fmt::Debug> fmt::Debug for Gate<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("inner", &self.inner)
            .field("breaker", &self.breaker)
            .field("permit", &self.permit)
            .finish_non_exhaustive()
    }
}
