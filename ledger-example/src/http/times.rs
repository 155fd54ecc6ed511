//! The two axes of time in a request: effective as of a day, known as at a position.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use folio_core::{EventStore, Position, Timestamp};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::Ledger;
use crate::http::position::PositionToken;
use crate::http::problem::Problem;
use crate::read_model::{AsOf, Balances};

/// Longest wait for a position that the model does not have yet.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// What a read of the model may ask.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ModelParams {
    /// Waits until the model has this position: the `Folio-Position` of a write.
    pub(crate) min_position: Option<String>,
}

/// Which past, and how much of it: what an answer shall be reproducible by.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked<'a> {
    pub(crate) effective: Option<NaiveDate>,
    pub(crate) known_at: Option<&'a str>,
    pub(crate) min_position: Option<&'a str>,
}

impl Ledger {
    /// The model as of one moment, once it has every position of the token that it is fed by.
    pub(crate) async fn model(&self, token: Option<&str>) -> Result<Balances, Problem> {
        self.model_at(self.position_of(token)?).await
    }

    /// The position of a token that is one of this store's. Others are of no concern to its models.
    pub(crate) fn position_of(&self, token: Option<&str>) -> Result<Option<Position>, Problem> {
        Ok(match token {
            Some(token) => PositionToken::parse(token)?.position_in(self.store().store_id()),
            None => None,
        })
    }

    /// The model, and what of it was asked for: without bounds, all that it has.
    pub(crate) async fn model_as_of(&self, asked: Asked<'_>) -> Result<(Balances, AsOf), Problem> {
        let effective = asked.effective.unwrap_or(NaiveDate::MAX).min(LAST_DAY);
        if asked.known_at.is_some() && asked.min_position.is_some() {
            return Err(Problem::unprocessable(
                "invalid_query",
                "Not what this endpoint takes",
                "ask for one of min_position and known_at",
            ));
        }
        let (model, known) = match asked.known_at {
            None => {
                let model = self.model(asked.min_position).await?;
                let known = model.position();
                (model, known)
            }
            Some(text) => match KnownAt::parse(self, text)? {
                KnownAt::Position(known) => {
                    let head = self.store().head().await?;
                    if known > head {
                        return Err(ahead(format!("the store's last position is {head}")));
                    }
                    (self.model_at(Some(known)).await?, known)
                }
                KnownAt::Moment(moment) => {
                    if moment > self.now().await?.0 {
                        return Err(ahead("the moment lies in the future".to_owned()));
                    }
                    // Whatever was recorded up to then is in the store.
                    let head = self.store().head().await?;
                    let model = self.model_at(Some(head)).await?;
                    let known = model.known_at(moment).await?;
                    (model, known)
                }
            },
        };
        Ok((model, AsOf { effective, known }))
    }

    pub(crate) async fn model_at(&self, position: Option<Position>) -> Result<Balances, Problem> {
        Ok(match position {
            Some(position) => self.queries.at(position, PATIENCE).await?,
            None => self.queries.now().await?,
        })
    }
}

/// The last day that an entry can take effect on.
const LAST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(9999, 12, 31) {
    Some(day) => day,
    None => NaiveDate::MAX,
};

/// The first one.
pub(crate) const FIRST_DAY: NaiveDate = match NaiveDate::from_ymd_opt(1, 1, 1) {
    Some(day) => day,
    None => NaiveDate::MIN,
};

enum KnownAt {
    Position(Position),
    Moment(Timestamp),
}

impl KnownAt {
    fn parse(ledger: &Ledger, text: &str) -> Result<Self, Problem> {
        if let Some(position) = text.parse().ok().and_then(Position::new) {
            return Ok(Self::Position(position));
        }
        if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
            let moment = Timestamp::from_micros(moment.timestamp_micros());
            return Ok(Self::Moment(moment));
        }
        PositionToken::decode(text)
            .and_then(|token| token.position_in(ledger.store().store_id()))
            .map(Self::Position)
            .ok_or_else(|| {
                Problem::unprocessable(
                    "invalid_known_at",
                    "Not a position or moment of this book",
                    "known_at is a position, the value of a Folio-Position header, or a moment such as \
                     2026-03-31T23:59:59Z",
                )
            })
    }
}

fn ahead(detail: String) -> Problem {
    Problem::unprocessable("known_at_ahead", "Not known yet", detail)
}

/// A moment as text: RFC 3339 in UTC, to the microsecond that is stored.
pub(crate) fn time_text(time: Timestamp) -> String {
    DateTime::<Utc>::from_timestamp_micros(time.micros()).map_or_else(String::new, |time| {
        time.to_rfc3339_opts(SecondsFormat::Micros, true)
    })
}
