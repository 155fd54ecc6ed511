//! How far the log is behind the store.

use std::time::Duration;

use folio_postgres::Pool;
use folio_proofs::checkpoint::Origin;
use tokio_postgres::{Client, Error};

use crate::error::SealError;

const LAG: &str = "SELECT \
     greatest((SELECT coalesce(max(position), 0) FROM store.events) - sealed.events, 0), \
     (extract(epoch FROM clock_timestamp()) * 1000000)::bigint - least( \
         (SELECT recorded_at FROM store.events WHERE position > sealed.events \
          ORDER BY position LIMIT 1), \
         (SELECT recorded_at FROM store.outcomes WHERE number > sealed.outcomes \
          ORDER BY number LIMIT 1)) \
     FROM (SELECT coalesce(max(events), 0) AS events, coalesce(max(outcomes), 0) AS outcomes \
           FROM audit.checkpoints) sealed";

/// How far the log is behind the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lag {
    pub(crate) events: i64,
    /// How long the oldest event or outcome has waited that is not sealed.
    pub(crate) age: Duration,
}

/// Whether it was said that the log is too far behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alarm {
    Silent,
    Raised,
}

impl Lag {
    /// Measures it over one of these connections, and tells it in the metrics.
    pub(crate) async fn told(sealers: &Pool, log: &Origin) -> Result<Self, SealError> {
        let connection = sealers.get().await;
        let mut client = connection.map_err(|error| SealError::Unavailable(error.into()))?;
        let lag = Self::measure(&client).await?;
        client.finished();
        lag.publish(log);
        Ok(lag)
    }

    async fn measure(client: &Client) -> Result<Self, Error> {
        let row = client.query_one(LAG, &[]).await?;
        let age: Option<i64> = row.try_get(1)?;
        Ok(Self {
            events: row.try_get(0)?,
            age: Duration::from_micros(age.map_or(0, |age| u64::try_from(age).unwrap_or(0))),
        })
    }

    fn publish(self, log: &Origin) {
        // A gauge takes a float; what is beyond 32 bits would be rounded, and nobody would care.
        let events = f64::from(u32::try_from(self.events).unwrap_or(u32::MAX));
        metrics::gauge!("folio_seal_lag_events", "log" => log.to_string()).set(events);
        metrics::gauge!("folio_seal_age_seconds", "log" => log.to_string())
            .set(self.age.as_secs_f64());
    }
}

impl Alarm {
    /// Says it once when the log has come too far behind, and once when it is no more.
    pub(crate) fn hear(self, log: &Origin, lag: Lag, alarm_after: Duration) -> Self {
        let is_late = lag.age >= alarm_after;
        let Lag { events, age } = lag;
        match (self, is_late) {
            (Self::Silent, true) => {
                tracing::error!(%log, events, ?age, "what was committed is not sealed in time");
                Self::Raised
            }
            (Self::Raised, false) => {
                tracing::info!(%log, events, ?age, "the log is in time again");
                Self::Silent
            }
            (state, _) => state,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_is_raised_when_the_oldest_has_waited_too_long_until_it_has_not() {
        let log: Origin = "log".parse().unwrap();
        let lag = |secs| Lag {
            events: 1,
            age: Duration::from_secs(secs),
        };
        let after = Duration::from_secs(60);
        let mut alarm = Alarm::Silent;
        for (secs, expected) in [
            (59, Alarm::Silent),
            (60, Alarm::Raised),
            (90, Alarm::Raised),
            (0, Alarm::Silent),
            (59, Alarm::Silent),
        ] {
            alarm = alarm.hear(&log, lag(secs), after);
            assert_eq!(alarm, expected, "{secs} s");
        }
    }
}
