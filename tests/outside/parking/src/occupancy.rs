//! The read model: how many spaces of each garage are taken.

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use folio_core::{Aggregate, RecordedEvent};
use folio_postgres::Pool;
use folio_postgres::migrate::Migrations;
use folio_projections::{ProjectionName, Projector, ProjectorError};
use serde::Serialize;

use crate::garage::{Garage, GarageEvent};

const OPEN: &str = "INSERT INTO parking.occupancy (garage, spaces) VALUES ($1, $2)";
const CHANGE: &str = "UPDATE parking.occupancy SET taken = taken + $2 WHERE garage = $1";
const RESET: &str = "DELETE FROM parking.occupancy";
const READ: &str = "SELECT spaces, taken FROM parking.occupancy WHERE garage = $1";

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// The migrations of the read model's table.
pub fn migrations() -> Migrations {
    Migrations::new("parking", embedded::migrations::runner())
}

/// Writes the model. It gets each event once, in order, in the transaction that also keeps the place.
pub struct OccupancyProjector;

#[async_trait]
impl Projector for OccupancyProjector {
    fn name(&self) -> ProjectionName {
        ProjectionName {
            name: "occupancy",
            version: 1,
        }
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        transaction: &Transaction<'_>,
    ) -> Result<(), ProjectorError> {
        let ours = events
            .iter()
            .filter(|event| event.stream.category() == Garage::CATEGORY);
        for recorded in ours {
            let garage = recorded.stream.id();
            for event in recorded.decode::<GarageEvent>()? {
                let (statement, number) = match event {
                    GarageEvent::GarageOpened { spaces } => (OPEN, i64::from(spaces)),
                    GarageEvent::CarEntered { .. } => (CHANGE, 1),
                    GarageEvent::CarLeft { .. } => (CHANGE, -1),
                };
                let written = transaction.execute(statement, &[&garage, &number]).await?;
                if written != 1 {
                    let what = format!("{garage}: no row at position {}", recorded.position);
                    return Err(ProjectorError::Contradiction(what));
                }
            }
        }
        Ok(())
    }

    async fn reset(&self, transaction: &Transaction<'_>) -> Result<(), ProjectorError> {
        Ok(transaction.batch_execute(RESET).await?)
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
    readers: &Pool,
    garage: &str,
) -> Result<Option<Occupancy>, Box<dyn std::error::Error + Send + Sync>> {
    let mut client = readers.get().await?;
    let row = client.query_opt(READ, &[&garage]).await?;
    // Without this the connection would be closed and not used again: nobody could know its state.
    client.finished();
    let read = |row: tokio_postgres::Row| -> Result<Occupancy, tokio_postgres::Error> {
        Ok(Occupancy {
            spaces: row.try_get("spaces")?,
            taken: row.try_get("taken")?,
        })
    };
    Ok(row.map(read).transpose()?)
}
