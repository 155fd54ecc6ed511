//! Looks how services are, for whoever has started them.

use std::time::Duration;

use folio_core::{Position, StoreId};
use ledger_example::http::PositionToken;
use reqwest::{Client, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Asks services how they are.
#[derive(Debug, Clone)]
pub struct Probe {
    http: Client,
}

/// Where a book ends.
#[derive(Deserialize)]
struct End {
    store_id: StoreId,
    head: i64,
}

impl Probe {
    /// One that asks where it is told to, and no proxy.
    ///
    /// # Errors
    ///
    /// When the HTTP client cannot be set up.
    pub fn new() -> reqwest::Result<Self> {
        let http = Client::builder().no_proxy().build()?;
        Ok(Self { http })
    }

    /// Completes when the service at `url` says that it is ready.
    pub async fn ready(&self, url: &str) {
        let url = format!("{url}/readyz");
        while !self.is_ok(&url).await {
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until the balances service has all that the accounts services have by now, and answers whether it
    /// does within `patience`.
    ///
    /// # Errors
    ///
    /// When an accounts service does not answer.
    pub async fn caught_up(
        &self,
        accounts: &[String],
        balances: &str,
        patience: Duration,
    ) -> reqwest::Result<bool> {
        let mut ends = Vec::new();
        for url in accounts {
            let answer = self
                .http
                .get(format!("{url}/v1/feed?limit=1"))
                .send()
                .await?;
            let End { store_id, head } = answer.error_for_status()?.json().await?;
            ends.extend(Position::new(head).map(|head| (store_id, head)));
        }
        let Some(token) = PositionToken::of_all(ends) else {
            return Ok(true);
        };
        let token = token.encode();
        let url = format!("{balances}/v1/trial-balance?min_position={token}");
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            // It waits by itself for a while.
            if self.is_ok(&url).await {
                return Ok(true);
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(false)
    }

    async fn is_ok(&self, url: &str) -> bool {
        let answer = self.http.get(url).timeout(Duration::from_secs(30)).send();
        answer
            .await
            .is_ok_and(|answer| answer.status() == StatusCode::OK)
    }
}
