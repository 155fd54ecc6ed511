//! What an answer says of what was called.

use folio_core::breaker::CallOutcome;

/// Says what an answer says of what was called. Closures do: `|answer: &Result<_, _>| …`.
pub trait Classify<Response, Error> {
    /// Whether what was called has answered, has failed, or has nothing to do with it.
    fn classify(&self, answer: &Result<Response, Error>) -> CallOutcome;
}

impl<Response, Error, F> Classify<Response, Error> for F
where
    F: Fn(&Result<Response, Error>) -> CallOutcome,
{
    fn classify(&self, answer: &Result<Response, Error>) -> CallOutcome {
        self(answer)
    }
}

/// The plainest classification: every error is a failure.
#[derive(Debug, Clone, Copy, Default)]
pub struct EveryError;

impl<Response, Error> Classify<Response, Error> for EveryError {
    fn classify(&self, answer: &Result<Response, Error>) -> CallOutcome {
        match answer {
            Ok(_) => CallOutcome::Success,
            Err(_) => CallOutcome::Failure,
        }
    }
}
