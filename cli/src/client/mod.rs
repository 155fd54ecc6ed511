//! A client of the ledger's public HTTP API: as much of it as the commands need.
//!
//! Every request can be repeated without harm, because a write carries a key by which the ledger
//! recognises it. So the client repeats by itself what gets no answer or a "not now", for a while
//! ([`RetryPolicy`]); an error it returns is one that repeating did not cure.

mod address;
mod error;
mod messages;
mod probe;
mod retry;
#[cfg(test)]
pub(crate) mod stand_in;

use std::{fmt, time::Duration};

use folio_core::{Currency, Position};
use ledger_example::BookName;
use reqwest::{RequestBuilder, Response, Url, header::HeaderMap};
use serde::de::DeserializeOwned;

pub use address::{InvalidAddress, LedgerAddress};
pub use error::{ClientError, Problem};
pub use messages::{
    Account, AccountsPage, BulkAnswer, EntriesAnswer, EntriesPage, EntryLeg, EntryResult, Exchange,
    NewEntry, OpenAccount, Overdraft, PostedEntry, Posting, PostingResult, PostingStatus, Side,
    StatementLine, StatementPage,
};
pub use probe::Probe;
pub use retry::RetryPolicy;

use messages::{BulkPostings, OpeningPage};

/// A token by which a gateway knows who asks.
#[derive(Clone)]
pub struct AccessToken(String);

impl From<&str> for AccessToken {
    fn from(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AccessToken(..)")
    }
}

/// A connection to one ledger, in the name of one actor.
#[derive(Debug, Clone)]
pub struct LedgerClient {
    http: reqwest::Client,
    address: LedgerAddress,
    actor: &'static str,
    /// What a gateway knows it by.
    token: Option<AccessToken>,
    /// The book that is read, where it is named.
    book: Option<BookName>,
    retry: RetryPolicy,
}

/// What the ledger answered to a write.
#[derive(Debug)]
#[non_exhaustive]
pub struct Written<T> {
    /// The answer itself.
    pub answer: T,
    /// Whether it is the answer to an earlier request with the same key.
    pub is_replay: bool,
    /// From where on a read sees the write.
    pub position: Option<PositionToken>,
}

/// A point in the ledger's history, in a form that only the ledger can read. A read that is given
/// one waits until it sees everything up to there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionToken(String);

impl LedgerClient {
    /// A client of the ledger at `address`. The ledger notes `actor` as who asked.
    ///
    /// # Errors
    ///
    /// [`ClientError::Setup`].
    pub fn new(address: LedgerAddress, actor: &'static str) -> Result<Self, ClientError> {
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            // The address is meant as it is written; most often it is this machine.
            .no_proxy()
            .build()
            .map_err(|source| ClientError::Setup { source })?;
        Ok(Self {
            http,
            address,
            actor,
            token: None,
            book: None,
            retry: RetryPolicy::default(),
        })
    }

    /// The same client, which a gateway knows by this token.
    #[must_use]
    pub fn with_token(self, token: Option<AccessToken>) -> Self {
        Self { token, ..self }
    }

    /// The same client, which reads this book where several have what is asked for.
    #[must_use]
    pub fn with_book(self, book: Option<BookName>) -> Self {
        Self { book, ..self }
    }

    /// The same client with another patience.
    #[must_use]
    pub fn with_retry(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    /// How it repeats requests.
    #[must_use]
    pub fn retry(&self) -> RetryPolicy {
        self.retry
    }

    /// Opens an account.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; see [`ClientError::is_already_open`].
    pub async fn open_account(
        &self,
        key: &str,
        account: &OpenAccount<'_>,
    ) -> Result<Written<()>, ClientError> {
        let url = self.address.join(&["v1", "accounts"]);
        let answer = self
            .exchange(|| self.write(&url, key).json(account))
            .await?;
        Ok(answer.written(()))
    }

    /// The currency of an account, by the event that opened it.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; see [`ClientError::is_not_found`].
    pub async fn currency_of(&self, id: &str) -> Result<Option<Currency>, ClientError> {
        let mut url = self.address.join(&["v1", "accounts", id, "events"]);
        url.query_pairs_mut().append_pair("limit", "1");
        let page: OpeningPage = self.exchange(|| self.read(&url)).await?.json()?;
        let opening = page.events.into_iter().next();
        Ok(opening.map(|opening| opening.payload.currency))
    }

    /// Posts up to 1,000 postings. Each is accepted or refused by itself; the results are in the
    /// order of the postings, one for each.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when the request as a whole failed. It may then have been done in part.
    pub async fn post_bulk(
        &self,
        key: &str,
        postings: &[Posting],
    ) -> Result<Written<BulkAnswer>, ClientError> {
        let url = self.address.join(&["v1", "postings", "bulk"]);
        let body = BulkPostings { postings };
        let answer = self.exchange(|| self.write(&url, key).json(&body)).await?;
        let bulk: BulkAnswer = answer.json()?;
        let is_one_for_each = bulk.results.len() == postings.len()
            && bulk
                .results
                .iter()
                .zip(postings)
                .all(|(result, posting)| result.key == posting.key);
        if !is_one_for_each {
            return Err(ClientError::ResultsDoNotMatch {
                url: url.to_string(),
            });
        }
        Ok(answer.written(bulk))
    }

    /// Posts up to 500 entries. Each is accepted or refused by itself; the results are in the order of
    /// the entries, one for each.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when the request as a whole failed. It may then have been done in part.
    pub async fn post_entries(
        &self,
        key: &str,
        entries: &[NewEntry],
    ) -> Result<Written<EntriesAnswer>, ClientError> {
        #[derive(serde::Serialize)]
        struct Body<'a> {
            entries: &'a [NewEntry],
        }
        let url = self.address.join(&["v1", "journal-entries", "bulk"]);
        let body = Body { entries };
        let answer = self.exchange(|| self.write(&url, key).json(&body)).await?;
        let bulk: EntriesAnswer = answer.json()?;
        if bulk.results.len() != entries.len() {
            return Err(ClientError::ResultsDoNotMatch {
                url: url.to_string(),
            });
        }
        Ok(answer.written(bulk))
    }

    /// Undoes an entry by another one, `id`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn reverse_entry(
        &self,
        key: &str,
        entry: &str,
        id: &str,
        effective_date: chrono::NaiveDate,
        description: Option<&str>,
    ) -> Result<Written<()>, ClientError> {
        let segments = ["v1", "journal-entries", entry, "reverse"];
        let url = self.address.join(&segments);
        let body = serde_json::json!({
            "id": id, "effective_date": effective_date, "description": description,
        });
        let answer = self.exchange(|| self.write(&url, key).json(&body)).await?;
        Ok(answer.written(()))
    }

    /// One page of all entries, oldest first, as known at a position; as known now, when that is left
    /// out. The first page has no cursor.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn entries_page(
        &self,
        cursor: Option<&str>,
        known_at: Option<Position>,
    ) -> Result<EntriesPage, ClientError> {
        let mut url = self.address.join(&["v1", "journal-entries"]);
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("limit", PAGE_MAX);
            if let Some(book) = &self.book {
                query.append_pair("book", book.as_str());
            }
            if let Some(cursor) = cursor {
                query.append_pair("cursor", cursor);
            }
            if let Some(position) = known_at {
                query.append_pair("known_at", &position.to_string());
            }
        }
        self.exchange(|| self.read(&url)).await?.json()
    }

    /// One page of all accounts. The first page has no cursor.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub async fn accounts_page(&self, cursor: Option<&str>) -> Result<AccountsPage, ClientError> {
        let mut url = self.address.join(&["v1", "accounts"]);
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("limit", PAGE_MAX);
            if let Some(book) = &self.book {
                query.append_pair("book", book.as_str());
            }
            if let Some(cursor) = cursor {
                query.append_pair("cursor", cursor);
            }
        }
        self.exchange(|| self.read(&url)).await?.json()
    }

    /// One page of an account's statement, oldest line first. The first page has no cursor.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; see [`ClientError::is_not_found`].
    pub async fn statement_page(
        &self,
        account: &str,
        cursor: Option<&str>,
        min_position: Option<&PositionToken>,
    ) -> Result<StatementPage, ClientError> {
        let mut url = self.address.join(&["v1", "accounts", account, "statement"]);
        {
            let mut query = url.query_pairs_mut();
            query.append_pair("limit", PAGE_MAX);
            if let Some(book) = &self.book {
                query.append_pair("book", book.as_str());
            }
            if let Some(cursor) = cursor {
                query.append_pair("cursor", cursor);
            }
            if let Some(PositionToken(token)) = min_position {
                query.append_pair("min_position", token);
            }
        }
        self.exchange(|| self.read(&url)).await?.json()
    }

    fn read(&self, url: &Url) -> RequestBuilder {
        self.known(self.http.get(url.clone()))
    }

    fn write(&self, url: &Url, key: &str) -> RequestBuilder {
        self.known(self.http.post(url.clone()))
            .header("Idempotency-Key", key)
    }

    /// By the name that it gives itself, and by what a gateway takes.
    fn known(&self, request: RequestBuilder) -> RequestBuilder {
        let request = request.header("Folio-Actor", self.actor);
        match &self.token {
            Some(AccessToken(token)) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request until it is answered for good.
    async fn exchange(&self, request: impl Fn() -> RequestBuilder) -> Result<Answer, ClientError> {
        let mut delays = self.retry.delays();
        loop {
            let error = match Answer::receive(request().send().await).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            match delays.next() {
                Some(delay) if error.is_retryable() => tokio::time::sleep(delay).await,
                _ => return Err(error),
            }
        }
    }
}

/// An answer that says yes.
struct Answer {
    url: Url,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    async fn receive(response: reqwest::Result<Response>) -> Result<Self, ClientError> {
        let response = response.map_err(|source| ClientError::NoAnswer { source })?;
        let (status, url) = (response.status(), response.url().clone());
        let headers = response.headers().clone();
        let body = response
            .bytes()
            .await
            .map_err(|source| ClientError::NoAnswer { source })?
            .to_vec();
        if status.is_success() {
            Ok(Self { url, headers, body })
        } else {
            Err(ClientError::from_answer(&url, status, &body))
        }
    }

    fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        serde_json::from_slice(&self.body).map_err(|source| ClientError::Unreadable {
            url: self.url.to_string(),
            source,
        })
    }

    fn written<T>(&self, answer: T) -> Written<T> {
        let header = |name| self.headers.get(name)?.to_str().ok();
        Written {
            answer,
            is_replay: header("Idempotent-Replayed") == Some("true"),
            position: header("Folio-Position").map(PositionToken::from),
        }
    }
}

impl From<&str> for PositionToken {
    fn from(token: &str) -> Self {
        Self(token.to_owned())
    }
}

impl fmt::Display for PositionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longer than the ledger itself waits for anything.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

const PAGE_MAX: &str = "1000";

#[cfg(test)]
mod tests;
