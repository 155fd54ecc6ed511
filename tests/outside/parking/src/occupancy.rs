//! The read model: how many spaces of each garage are taken.

use async_trait::async_trait;
use folio_core::{Aggregate, RecordedEvent};
use folio_projections::{
    ModelTransaction, ProjectionName, Projector, ProjectorError, Reading, Wanted,
};
use serde::Serialize;

use crate::garage::{Garage, GarageEvent};

const TABLES: &str = "CREATE TABLE occupancy ( \
     garage text   PRIMARY KEY, \
     spaces bigint NOT NULL, \
     taken  bigint NOT NULL DEFAULT 0 CHECK (taken BETWEEN 0 AND spaces))";
const OPEN: &str = "INSERT INTO occupancy (garage, spaces) VALUES ($1, $2)";
const CHANGE: &str = "UPDATE occupancy SET taken = taken + $2 WHERE garage = $1";
const READ: &str = "SELECT spaces, taken FROM occupancy WHERE garage = $1";

/// Writes the model. It gets each event once, in order, in the transaction that also keeps the place.
pub struct OccupancyProjector;

#[async_trait]
impl Projector for OccupancyProjector {
    fn name(&self) -> ProjectionName {
        ProjectionName::new("occupancy", 1)
    }

    fn wants(&self) -> Wanted {
        Wanted::category(Garage::CATEGORY)
    }

    fn tables(&self) -> &str {
        TABLES
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        for recorded in events {
            let garage = recorded.stream.id();
            for event in recorded.decode::<GarageEvent>()? {
                let (statement, number) = match event {
                    GarageEvent::GarageOpened { spaces } => (OPEN, i64::from(spaces)),
                    GarageEvent::CarEntered { .. } => (CHANGE, 1),
                    GarageEvent::CarLeft { .. } => (CHANGE, -1),
                };
                let written = model.execute(statement, &[&garage, &number]).await?;
                if written != 1 {
                    let what = format!("{garage}: no row at position {}", recorded.position);
                    return Err(ProjectorError::Contradiction(what));
                }
            }
        }
        Ok(())
    }
}

/// A row of the model.
#[derive(Debug, Serialize)]
pub struct Occupancy {
    spaces: i64,
    taken: i64,
}

/// Reads the model.
pub async fn occupancy(
    model: Reading,
    garage: &str,
) -> Result<Option<Occupancy>, tokio_postgres::Error> {
    let row = model.query_opt(READ, &[&garage]).await?;
    // Without this the connection would be closed and not used again: nobody could know its state.
    model.close().await?;
    let read = |row: tokio_postgres::Row| -> Result<Occupancy, tokio_postgres::Error> {
        Ok(Occupancy {
            spaces: row.try_get("spaces")?,
            taken: row.try_get("taken")?,
        })
    };
    row.map(read).transpose()
}
