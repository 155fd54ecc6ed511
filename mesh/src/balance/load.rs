//! How loaded an instance is, as it is seen from here.

use std::time::Duration;

use tokio::time::Instant;

/// A moving average of how long answers took, in seconds, that follows a rise at once and a fall slowly.
///
/// After a rise the average falls towards what is measured by the factor e within `decay`. Floats: nothing here is money.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    seconds: f64,
    measured: Instant,
    decay: Duration,
}

impl Load {
    /// As if an answer had taken this long.
    pub(super) fn new(seconds: f64, decay: Duration, now: Instant) -> Self {
        Self {
            seconds,
            measured: now,
            decay,
        }
    }

    /// An answer took this long.
    pub(super) fn measure(&mut self, took: Duration, now: Instant) {
        let took = took.as_secs_f64();
        self.seconds = if took >= self.seconds {
            took
        } else {
            let kept = self.kept(now);
            self.seconds * kept + took * (1.0 - kept)
        };
        self.measured = now;
    }

    /// An answer was awaited this long, and nobody knows how much longer it would have taken: it tells of a rise, and never of a fall.
    pub(super) fn awaited(&mut self, waited: Duration, now: Instant) {
        if waited.as_secs_f64() >= self.seconds {
            self.measure(waited, now);
        }
    }

    /// It is as this answer says, whatever was before: who was away is not judged by how it went away.
    pub(super) fn begin_again(&mut self, took: Duration, now: Instant) {
        self.seconds = took.as_secs_f64();
        self.measured = now;
    }

    /// What one more request would meet, with so many under way.
    pub(super) fn cost(&self, under_way: u32, now: Instant) -> f64 {
        self.seconds * self.kept(now) * (f64::from(under_way) + 1.0)
    }

    /// The average, in seconds.
    pub(super) const fn seconds(&self) -> f64 {
        self.seconds
    }

    fn kept(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.measured).as_secs_f64();
        (-passed / self.decay.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECAY: Duration = Duration::from_secs(10);
    const MS: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn it_follows_a_rise_at_once_and_a_fall_slowly() {
        let began = Instant::now();
        let mut load = Load::new(0.001, DECAY, began);
        load.measure(500 * MS, began);
        assert!(load.seconds() >= 0.5);
        load.measure(MS, began + 100 * MS);
        assert!(load.seconds() > 0.4, "{load:?}");
        load.measure(MS, began + 60_000 * MS);
        assert!(load.seconds() < 0.01, "{load:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_awaited_counts() {
        let now = Instant::now();
        let (idle, busy) = (Load::new(0.02, DECAY, now), Load::new(0.01, DECAY, now));
        assert!(idle.cost(0, now) < busy.cost(2, now));
        assert!(idle.cost(0, now) > busy.cost(0, now));
    }
}
