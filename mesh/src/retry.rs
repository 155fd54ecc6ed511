//! Trying again, within a budget that all callers share.
//!
//! When something is down, retries are what keeps it down. So they are paid for out of a budget that fills
//! with requests: at 10 %, ten requests pay for one retry, however many callers would like one. The rest is
//! `tower::retry`'s.

use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::retry::Policy;
use tower::retry::backoff::{
    Backoff as _, ExponentialBackoff, ExponentialBackoffMaker, InvalidBackoff, MakeBackoff as _,
};
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::util::rng::HasherRng;

/// How long what is not spent can still be spent.
const KEPT: Duration = Duration::from_secs(10);
/// Most retries a second that may be had without requests.
const RESERVE_MAX: u32 = 1_000;

/// What pays for retries. Clones are the same one: there is one for each thing that is called.
///
/// What it refuses is counted in the metric `folio_retries_refused_total`.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    budget: Arc<TpsBudget>,
    refused: Counter,
}

/// A retry policy for `tower::retry::RetryLayer`: as often as the judge and the budget say, with exponential
/// backoff and jitter.
///
/// It belongs outside of a circuit breaker, and should not try again what that refuses: the judge of
/// [`BreakerError::Open`](crate::BreakerError::Open) says [`Again::No`].
#[derive(Debug, Clone)]
pub struct Retries<J> {
    budget: RetryBudget,
    backoff: ExponentialBackoff,
    tries: u32,
    left: u32,
    judge: J,
}

/// Whether a request shall be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Again {
    /// It was answered; or it may have had its effect and is not known again by the one it was sent to; or
    /// another try would come to the same.
    No,
    /// After the backoff.
    Yes,
    /// Not before this time, which who was asked has named.
    After(Duration),
}

impl RetryBudget {
    /// A hundred requests pay for `percent` retries, at most 100. `reserve` retries a second may be had anyway, at
    /// most 1,000, so that whoever seldom asks may try again.
    #[must_use]
    pub fn new(name: &str, percent: u8, reserve: u32) -> Self {
        let share = f32::from(percent.min(100)) / 100.0;
        let budget = TpsBudget::new(KEPT, reserve.min(RESERVE_MAX), share);
        Self {
            budget: Arc::new(budget),
            refused: metrics::counter!("folio_retries_refused_total", "called" => name.to_owned()),
        }
    }

    /// A request is made, which pays its share of a retry.
    pub fn deposit(&self) {
        self.budget.deposit();
    }

    /// Takes what a retry costs. False where there is not as much.
    #[must_use]
    pub fn withdraw(&self) -> bool {
        let is_paid = self.budget.withdraw();
        if !is_paid {
            self.refused.increment(1);
        }
        is_paid
    }
}

impl<J> Retries<J> {
    /// At most `tries` more, the first one about `first` after the failure and each later one after twice the
    /// time, up to `longest`. `judge` is shown the request and its answer.
    ///
    /// # Errors
    ///
    /// When `first` is zero or longer than `longest`.
    pub fn new(
        budget: RetryBudget,
        tries: u32,
        (first, longest): (Duration, Duration),
        judge: J,
    ) -> Result<Self, InvalidBackoff> {
        const JITTER: f64 = 0.5;
        let mut maker = ExponentialBackoffMaker::new(first, longest, JITTER, HasherRng::default())?;
        Ok(Self {
            budget,
            backoff: maker.make_backoff(),
            tries,
            left: tries,
            judge,
        })
    }
}

impl<J, Request, Response, Error> Policy<Request, Response, Error> for Retries<J>
where
    J: Fn(&Request, &Result<Response, Error>) -> Again,
    Request: Clone,
{
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request,
        answer: &mut Result<Response, Error>,
    ) -> Option<Sleep> {
        if self.left == self.tries {
            self.budget.deposit();
        }
        let after = match (self.judge)(request, answer) {
            Again::No => return None,
            Again::Yes => Duration::ZERO,
            Again::After(time) => time,
        };
        let left = self.left.checked_sub(1)?;
        if !self.budget.withdraw() {
            return None;
        }
        self.left = left;
        let backoff = self.backoff.next_backoff().deadline();
        Some(sleep_until(backoff.max(Instant::now() + after)))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        Some(request.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use folio_core::breaker::BreakerSettings;
    use tower::retry::RetryLayer;
    use tower::{Service, ServiceExt as _, service_fn};
    use tower_layer::Layer as _;

    use super::*;
    use crate::{BreakerError, BreakerLayer, CircuitBreaker};

    const MS: Duration = Duration::from_millis(1);

    type Error = BreakerError<&'static str>;

    type Judge = fn(&(), &Result<(), Error>) -> Again;

    fn always(_: &(), answer: &Result<(), Error>) -> Again {
        match answer {
            Err(BreakerError::Inner(_)) => Again::Yes,
            Ok(()) | Err(BreakerError::Open(_)) => Again::No,
        }
    }

    fn retries(percent: u8, reserve: u32) -> Retries<Judge> {
        let budget = RetryBudget::new("test", percent, reserve);
        Retries::new(budget, 3, (10 * MS, 1_000 * MS), always as Judge).unwrap()
    }

    fn dead(
        asked: &Arc<AtomicU32>,
    ) -> impl Service<(), Response = (), Error = Error, Future: Send> + Clone + Send + use<> {
        let asked = Arc::clone(asked);
        service_fn(move |()| {
            asked.fetch_add(1, Ordering::SeqCst);
            ready(Err(BreakerError::Inner("no connection")))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_sent_while_the_budget_lasts() {
        let asked = Arc::new(AtomicU32::new(0));
        let service = RetryLayer::new(retries(20, 0)).layer(dead(&asked));
        for _ in 0..1_000 {
            service.clone().oneshot(()).await.unwrap_err();
        }
        let asked = asked.load(Ordering::SeqCst);
        assert!((1_150..=1_200).contains(&asked), "{asked}");
        // Whoever asks once may try again, out of the reserve.
        let asked = Arc::new(AtomicU32::new(0));
        let service = RetryLayer::new(retries(0, 10)).layer(dead(&asked));
        service.oneshot(()).await.unwrap_err();
        assert_eq!(asked.load(Ordering::SeqCst), 4);
    }

    /// Three layers that would each try three times again ask a dead service 64 times for each request.
    #[tokio::test(start_paused = true)]
    async fn layers_of_retries_are_no_storm() {
        let asked = Arc::new(AtomicU32::new(0));
        let bare = dead(&asked);
        let twice = RetryLayer::new(retries(100, 1_000)).layer(bare.clone());
        let storm = RetryLayer::new(retries(100, 1_000)).layer(twice);
        for _ in 0..10 {
            storm.clone().oneshot(()).await.unwrap_err();
        }
        assert_eq!(
            asked.swap(0, Ordering::SeqCst),
            160,
            "without a budget that binds"
        );

        let breaker = CircuitBreaker::new("dead", BreakerSettings::default()).unwrap();
        let is_back = Arc::new(AtomicBool::new(false));
        let inner = service_fn({
            let (asked, is_back) = (Arc::clone(&asked), Arc::clone(&is_back));
            move |()| {
                asked.fetch_add(1, Ordering::SeqCst);
                ready(match is_back.load(Ordering::SeqCst) {
                    true => Ok(()),
                    false => Err("no connection"),
                })
            }
        });
        let first = RetryLayer::new(retries(10, 0)).layer(BreakerLayer::new(breaker).layer(inner));
        let second = RetryLayer::new(retries(10, 0)).layer(first);
        let third = RetryLayer::new(retries(10, 0)).layer(second);
        // Five minutes of ten requests a second.
        for _ in 0..3_000 {
            third.clone().oneshot(()).await.unwrap_err();
            tokio::time::sleep(100 * MS).await;
        }
        let asked = asked.load(Ordering::SeqCst);
        assert!(asked <= 3_300, "{asked}");

        // When it is back, that is known within the longest time that a breaker is open.
        is_back.store(true, Ordering::SeqCst);
        let began = Instant::now();
        while third.clone().oneshot(()).await.is_err() {
            tokio::time::sleep(100 * MS).await;
        }
        let open_max = BreakerSettings::default().open_max;
        assert!(
            began.elapsed() <= open_max + 100 * MS,
            "{:?}",
            began.elapsed()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_asked_again_before_the_time_that_was_named() {
        let judge = |_: &(), answer: &Result<(), &str>| match answer {
            Err(_) => Again::After(2_000 * MS),
            Ok(()) => Again::No,
        };
        let budget = RetryBudget::new("test", 0, 10);
        let retries = Retries::new(budget, 1, (10 * MS, 1_000 * MS), judge).unwrap();
        let service = RetryLayer::new(retries).layer(service_fn(|()| ready(Err::<(), _>("busy"))));
        let began = Instant::now();
        service.oneshot(()).await.unwrap_err();
        assert!(began.elapsed() >= 2_000 * MS, "{:?}", began.elapsed());
    }
}
