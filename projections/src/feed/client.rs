//! One request to a feed, and what is remembered of the answers.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use folio_core::StoreId;
use reqwest::redirect::Policy;
use reqwest::{Response, StatusCode, Url};
use serde::Deserialize;

use crate::feed::OTHER_STORE;
use crate::feed::error::{FeedError, InvalidFeedUrl};
use crate::feed::guard::{FeedCall, FeedGuard, FeedOutcome, FeedPermit};
use crate::feed::page::FeedPage;
use crate::feed::request::FeedRequest;
use crate::feed::source::FeedSettings;

/// Asks one feed.
pub(crate) struct FeedClient {
    http: reqwest::Client,
    url: Url,
    settings: FeedSettings,
    guard: Option<Arc<dyn FeedGuard>>,
    // The std mutex: it is never held across an await.
    seen: Mutex<Seen>,
    doubts: AtomicU64,
}

/// Who has answered so far.
#[derive(Debug, Default)]
struct Seen {
    store_id: Option<StoreId>,
    history: Option<String>,
}

/// What is read of a problem.
#[derive(Deserialize)]
struct ProblemCode {
    code: String,
}

impl FeedClient {
    pub(crate) fn new(
        url: &str,
        settings: FeedSettings,
        guard: Option<Arc<dyn FeedGuard>>,
    ) -> Result<Self, InvalidFeedUrl> {
        let url = Url::parse(url)
            .ok()
            .filter(|url| url.scheme() == "http")
            .ok_or_else(|| InvalidFeedUrl::NotHttp {
                url: url.to_owned(),
            })?;
        let http = reqwest::Client::builder()
            // The address is meant as it is written.
            .no_proxy()
            .redirect(Policy::none())
            .build()
            .map_err(InvalidFeedUrl::Client)?;
        Ok(Self {
            http,
            url,
            settings,
            guard,
            seen: Mutex::default(),
            doubts: AtomicU64::new(0),
        })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.url
    }

    pub(crate) fn settings(&self) -> FeedSettings {
        self.settings
    }

    /// The store that the feed is known to be of.
    pub(crate) fn store_id(&self) -> Option<StoreId> {
        self.seen().store_id
    }

    /// How often there was a reason to ask whether the feed still has the past that was read.
    pub(crate) fn doubts(&self) -> u64 {
        self.doubts.load(Ordering::SeqCst)
    }

    pub(crate) fn doubt(&self) {
        self.doubts.fetch_add(1, Ordering::SeqCst);
    }

    /// Asks once. After a failure and after an answer with another history there is a doubt, which is
    /// there before this returns.
    pub(crate) async fn ask(&self, request: &FeedRequest) -> Result<FeedPage, FeedError> {
        let permit = self.admit(request)?;
        let address = permit.as_ref().and_then(|permit| permit.address());
        let answered = self.answer(request, address).await;
        if let Some(permit) = permit {
            permit.record(match &answered {
                Ok(_) => FeedOutcome::Answered,
                Err(_) => FeedOutcome::Failed,
            });
        }
        match &answered {
            Ok(page) => self.note(page),
            Err(error) => {
                if matches!(error, FeedError::OtherStore { .. }) {
                    self.seen().store_id = None;
                }
                self.doubt();
            }
        }
        answered
    }

    /// What was not asked has told nothing, so there is nothing to doubt.
    fn admit(&self, request: &FeedRequest) -> Result<Option<Box<dyn FeedPermit>>, FeedError> {
        let call = if request.wait.is_zero() {
            FeedCall::Read
        } else {
            FeedCall::Wait
        };
        let permit = self.guard.as_ref().map(|guard| guard.admit(call));
        permit.transpose().map_err(FeedError::NotAsked)
    }

    async fn answer(
        &self,
        request: &FeedRequest,
        address: Option<SocketAddr>,
    ) -> Result<FeedPage, FeedError> {
        let mut url = request.url(&self.url);
        if let Some(address) = address {
            // An http URL takes any of both.
            let _ = url.set_ip_host(address.ip());
            let _ = url.set_port(Some(address.port()));
        }
        let response = self
            .http
            .get(url)
            .timeout(self.settings.timeout.saturating_add(request.wait))
            .send()
            .await
            .map_err(FeedError::NoAnswer)?;
        let status = response.status();
        let body = self.body(response).await?;
        if status != StatusCode::OK {
            let problem = serde_json::from_slice::<ProblemCode>(&body);
            let code = problem.map_or_else(|_| "no code".to_owned(), |problem| problem.code);
            return Err(match request.store_id {
                Some(expected) if status == StatusCode::CONFLICT && code == OTHER_STORE => {
                    FeedError::OtherStore { expected }
                }
                _ => FeedError::Status {
                    status: status.as_u16(),
                    code,
                },
            });
        }
        let page: FeedPage = serde_json::from_slice(&body).map_err(FeedError::Unreadable)?;
        match request.store_id {
            Some(expected) if expected != page.store_id => Err(FeedError::OtherStore { expected }),
            _ => Ok(page),
        }
    }

    /// A body that is too long is not read to its end.
    async fn body(&self, mut response: Response) -> Result<Vec<u8>, FeedError> {
        let bytes_max = self.settings.bytes_max;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(FeedError::NoAnswer)? {
            if body.len().saturating_add(chunk.len()) > bytes_max {
                return Err(FeedError::TooLong { bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn note(&self, page: &FeedPage) {
        let mut seen = self.seen();
        seen.store_id.get_or_insert(page.store_id);
        if seen.history.as_ref() != Some(&page.history) {
            seen.history = Some(page.history.clone());
            self.doubt();
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
