//! Which holds are open and by when: all that the expirer needs to know of a book, kept beside the store so
//! that holds end also while no other service runs.

use async_trait::async_trait;
use folio_core::{Aggregate, RecordedEvent, Timestamp};
use folio_projections::{
    ModelTransaction, ProjectionName, Projector, ProjectorError, Reader, Wanted,
};

use crate::account::AccountId;
use crate::hold::{Hold, HoldEvent, HoldId};
use crate::read_model::QueryError;

const RESOLVED: &str = "DELETE FROM open_holds WHERE hold_id = ANY($1)";
const DUE: &str = "SELECT hold_id, account_id FROM open_holds WHERE expires_at <= $1 \
     ORDER BY expires_at LIMIT $2";

/// Projects the holds that are open into the table of `sql/tables.sql`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DueHoldsProjector;

/// Reads which holds are due.
#[derive(Debug, Clone)]
pub(super) struct DueHolds {
    reader: Reader,
}

/// A hold whose time is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DueHold {
    pub(super) hold: HoldId,
    pub(super) account: AccountId,
}

impl DueHoldsProjector {
    /// Its name and revision.
    pub(crate) const NAME: ProjectionName = ProjectionName::new("due_holds", 1);
}

#[async_trait]
impl Projector for DueHoldsProjector {
    fn name(&self) -> ProjectionName {
        Self::NAME
    }

    fn wants(&self) -> Wanted {
        Wanted::category(Hold::CATEGORY)
    }

    fn tables(&self) -> &str {
        include_str!("sql/tables.sql")
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let (mut holds, mut accounts, mut expiries) = (Vec::new(), Vec::new(), Vec::new());
        let mut resolved = Vec::new();
        for recorded in events {
            for event in recorded.decode()? {
                match event {
                    HoldEvent::HoldPlaced(placed) => {
                        holds.push(recorded.stream.id());
                        accounts.push(placed.account.as_str().to_owned());
                        expiries.push(placed.expires_at.micros());
                    }
                    HoldEvent::HoldCaptured { .. }
                    | HoldEvent::HoldReleased
                    | HoldEvent::HoldExpired
                    | HoldEvent::HoldRuledOut => resolved.push(recorded.stream.id()),
                }
            }
        }
        model
            .insert("open_holds")
            .key("hold_id", &holds)
            .set("account_id", &accounts)
            .set("expires_at", &expiries)
            .execute()
            .await?;
        // After it: a hold may be placed and resolved in the same batch, and never the other way round.
        let delete = model.prepare_cached(RESOLVED).await?;
        model.execute(&delete, &[&resolved]).await?;
        Ok(())
    }
}

impl DueHolds {
    pub(super) const fn new(reader: Reader) -> Self {
        Self { reader }
    }

    /// The holds whose time is over at `now`, the oldest first.
    pub(super) async fn due(&self, now: Timestamp, most: i64) -> Result<Vec<DueHold>, QueryError> {
        let reading = self.reader.read().await?;
        let statement = reading.prepare_cached(DUE).await?;
        let rows = reading.query(&statement, &[&now.micros(), &most]).await?;
        reading.close().await?;
        let due = |row: &tokio_postgres::Row| {
            let (hold, account): (&str, &str) = (row.try_get(0)?, row.try_get(1)?);
            Ok(DueHold {
                hold: hold.parse().map_err(QueryError::corrupt)?,
                account: account.parse().map_err(QueryError::corrupt)?,
            })
        };
        rows.iter().map(due).collect()
    }
}
