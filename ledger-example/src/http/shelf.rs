//! Which books a request is about, and how far their models have to be for it.

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use folio_core::{Position, StoreId, error_chain};
use folio_projections::feed::Present;
use serde::Serialize;

use crate::account::AccountId;
use crate::balances::{Shelf, ShelvedBook};
use crate::hold::HoldId;
use crate::http::position::PositionToken;
use crate::http::problem::Problem;
use crate::http::times::{Asked, KnownAt, LAST_DAY, NO_DAY, PATIENCE, ahead};
use crate::journal::EntryId;
use crate::read_model::{AsOf, Balances, QueryError};

/// The header that tells how old an answer may be, in milliseconds.
pub const AGE: &str = "folio-age-ms";

/// What one book has, and most often no other.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sought<'a> {
    Account(&'a AccountId),
    Hold(&'a HoldId),
    Entry(&'a EntryId),
}

/// A book's model as of one moment, and which part of it was asked for.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) book: &'a ShelvedBook,
    pub(crate) model: Balances,
    pub(crate) as_of: AsOf,
}

impl Shelf {
    /// The books that a request is about: the one that it names, or all.
    pub(crate) fn asked_for(&self, name: Option<&str>) -> Result<Vec<&ShelvedBook>, Problem> {
        let Some(name) = name else {
            return Ok(self.books().iter().collect());
        };
        match self.books().iter().find(|book| book.name.as_str() == name) {
            Some(book) => Ok(vec![book]),
            None => Err(Problem::book_not_found(name)),
        }
    }

    /// The book that has what is sought, as far as its model has to be by `token`. One that is named, or that is
    /// the only one, is not looked into.
    pub(crate) async fn book_of(
        &self,
        name: Option<&str>,
        sought: Sought<'_>,
        token: Option<&str>,
    ) -> Result<&ShelvedBook, Problem> {
        let books = self.asked_for(name)?;
        if let [book] = books.as_slice() {
            return Ok(book);
        }
        let mut found = Vec::new();
        for book in books {
            let model = book.model(token).await?;
            let is_there = sought.is_in(&model).await?;
            model.close().await?;
            if is_there {
                found.push(book);
            }
        }
        match found.as_slice() {
            [] => Err(sought.missing()),
            [book] => Ok(book),
            several => {
                let names = several.iter().map(|book| book.name.as_str());
                Err(Problem::several_books(&names.collect::<Vec<_>>()))
            }
        }
    }

    /// The model of the book that has what is sought, as it was asked for.
    pub(crate) async fn open(
        &self,
        name: Option<&str>,
        sought: Sought<'_>,
        asked: Asked<'_>,
    ) -> Result<Opened<'_>, Problem> {
        let book = self.book_of(name, sought, asked.min_position).await?;
        book.open(asked).await
    }
}

impl ShelvedBook {
    /// The model as of one moment, once it has every position of the token that it is fed by.
    pub(crate) async fn model(&self, token: Option<&str>) -> Result<Balances, Problem> {
        let model = self.queries.now().await?;
        let Some(token) = token else {
            return Ok(model);
        };
        let token = PositionToken::parse(token)?;
        // Others are of no concern to it.
        let asked = token.position_in(self.store_id(&model).await?);
        match asked {
            Some(position) if position > model.position() => {
                model.close().await?;
                self.model_at(position).await
            }
            Some(_) | None => Ok(model),
        }
    }

    async fn model_at(&self, position: Position) -> Result<Balances, Problem> {
        Ok(self.queries.at(position, PATIENCE).await?)
    }

    /// The model, and what of it was asked for: without bounds, all that it has.
    pub(crate) async fn open(&self, asked: Asked<'_>) -> Result<Opened<'_>, Problem> {
        let effective = asked.effective.unwrap_or(chrono::NaiveDate::MAX);
        // PostgreSQL has fewer days than whoever asks.
        let effective = effective.clamp(NO_DAY, LAST_DAY);
        if asked.known_at.is_some() && asked.min_position.is_some() {
            return Err(Problem::unprocessable(
                "invalid_query",
                "Not what this endpoint takes",
                "ask for one of min_position and known_at",
            ));
        }
        let model = self.model(asked.min_position).await?;
        let (model, known) = match asked.known_at {
            None => {
                let known = model.position();
                (model, known)
            }
            Some(text) => {
                let store_id = self.store_id(&model).await?;
                match KnownAt::parse(text, store_id)? {
                    KnownAt::Position(known) => (self.known(model, known).await?, known),
                    KnownAt::Moment(moment) => self.known_then(model, moment).await?,
                }
            }
        };
        Ok(Opened {
            book: self,
            model,
            as_of: AsOf { effective, known },
        })
    }

    /// How far the book's store is, as its own service tells.
    async fn present(&self) -> Result<Present, Problem> {
        let present = self.feed.present().await;
        present.map_err(|error| {
            tracing::warn!(book = %self.name, cause = error_chain(&error), "a book's service gave no answer");
            Problem::passing(
                StatusCode::SERVICE_UNAVAILABLE,
                "book_unavailable",
                "The book's service gives no answer",
                format!("what is known of book {} is answered; this asks for more", self.name),
            )
        })
    }

    /// A model that has `known`. Where it does not yet, its store says whether there is such a position.
    async fn known(&self, model: Balances, known: Position) -> Result<Balances, Problem> {
        if known <= model.position() {
            return Ok(model);
        }
        model.close().await?;
        let head = self.present().await?.head;
        if known > head {
            return Err(ahead(format!("the store's last position is {head}")));
        }
        self.model_at(known).await
    }

    /// The position up to which was recorded by `moment`, and a model that has it. Where the model has
    /// nothing that was recorded later, its store says whether it has.
    async fn known_then(
        &self,
        model: Balances,
        moment: folio_core::Timestamp,
    ) -> Result<(Balances, Position), Problem> {
        if model.goes_beyond(moment).await? {
            let known = model.known_at(moment).await?;
            return Ok((model, known));
        }
        model.close().await?;
        let present = self.present().await?;
        if present.told_at.is_none_or(|now| moment > now) {
            return Err(ahead("the moment lies in the future".to_owned()));
        }
        // Whatever was recorded up to then is in the store.
        let model = self.model_at(present.head).await?;
        let known = model.known_at(moment).await?;
        Ok((model, known))
    }
}

impl Sought<'_> {
    async fn is_in(self, model: &Balances) -> Result<bool, QueryError> {
        Ok(match self {
            Self::Account(id) => model.account(id).await?.is_some(),
            Self::Hold(id) => model.hold(id).await?.is_some(),
            Self::Entry(id) => model.entry(id).await?.is_some(),
        })
    }

    fn missing(self) -> Problem {
        match self {
            Self::Account(_) => Problem::account_not_found(),
            Self::Hold(_) => Problem::hold_not_found(),
            Self::Entry(_) => Problem::entry_not_found(),
        }
    }
}

/// What an answer is of: the positions of the models that it is from, and how old the oldest of them may be.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    pairs: Vec<(StoreId, Position)>,
    age_ms: Option<u128>,
}

impl Origin {
    /// Of one book.
    pub(crate) fn of(opened: &Opened<'_>) -> Self {
        let mut origin = Self::default();
        origin.add(opened);
        origin
    }

    /// And of another one.
    pub(crate) fn add(&mut self, opened: &Opened<'_>) {
        // Before its first event a model is of no store.
        if let Some(store_id) = opened.model.store_id() {
            self.pairs.push((store_id, opened.model.position()));
        }
        let age = opened.book.age().map(|age| age.as_millis());
        self.age_ms = self.age_ms.max(age);
    }

    /// The answer, with headers that tell it.
    pub(crate) fn answer(self, body: impl Serialize) -> Response {
        let mut response = Json(body).into_response();
        self.put(response.headers_mut());
        response
    }

    /// Puts it into the headers of a response.
    pub(crate) fn put(self, headers: &mut HeaderMap) {
        if let Some(token) = PositionToken::of_all(self.pairs) {
            token.put(headers);
        }
        if let Some(age_ms) = self.age_ms
            && let Ok(value) = HeaderValue::from_str(&age_ms.to_string())
        {
            headers.insert(AGE, value);
        }
    }
}
