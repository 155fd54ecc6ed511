//! Waits at a feed for what is new, to wake those who read it.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use folio_core::{BatchSize, Filter, Position, error_chain};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::feed::client::FeedClient;
use crate::feed::error::FeedError;
use crate::feed::request::FeedRequest;

/// Shortest time between two requests that each bring news. A store that is written to all the time
/// answers at once, and its readers need not be woken more often than this.
const PAUSE: Duration = Duration::from_millis(25);

/// An answer without news that comes sooner than this was not waited for: the feed does not hold
/// answers back, or is going down.
const SOON: Duration = Duration::from_millis(250);

/// Doublings of the wait after failures.
const DOUBLINGS_MAX: u32 = 6;

/// Keeps `head` at the position of the store's last event. Never ends.
pub(crate) async fn watch_head(client: Arc<FeedClient>, head: watch::Sender<Position>) {
    let mut failures = 0_u32;
    loop {
        let asked = Instant::now();
        let known = *head.borrow();
        let wait = match next_head(&client, known).await {
            Ok(found) if found != known => {
                if found < known {
                    client.doubt();
                }
                head.send_replace(found);
                failures = 0;
                PAUSE
            }
            Ok(_) if asked.elapsed() >= SOON => {
                failures = 0;
                Duration::ZERO
            }
            answer => {
                if let Err(error) = &answer {
                    let error = error_chain(error);
                    tracing::debug!(url = %client.url(), error, "nobody is woken by the feed for a while");
                }
                let doubled = 2_u32.saturating_pow(failures.min(DOUBLINGS_MAX));
                failures = failures.saturating_add(1);
                with_chance(client.settings().backoff.saturating_mul(doubled))
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// The store's head, as soon as it is not at `known` any more.
async fn next_head(client: &FeedClient, known: Position) -> Result<Position, FeedError> {
    let request = FeedRequest {
        after: known,
        store_id: client.store_id(),
        limit: BatchSize::ONE,
        filter: Filter::all(),
        wait: client.settings().wait,
    };
    Ok(client.ask(&request).await?.head)
}

/// Between half of `wait` and all of it, so that readers that lost the same server do not all come
/// back to it at once.
fn with_chance(wait: Duration) -> Duration {
    // A new hash state is random; the hash of anything is then a random number.
    let chance = RandomState::new().hash_one(()) % 1_000;
    let half = wait / 2;
    let part = half / 1_000;
    u32::try_from(chance).map_or(wait, |chance| {
        half.saturating_add(part.saturating_mul(chance))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_takes_at_most_half_of_a_wait() {
        let wait = Duration::from_secs(1);
        for _ in 0..100 {
            let with_chance = with_chance(wait);
            assert!(with_chance >= wait / 2 && with_chance <= wait);
        }
    }
}
