//! Which transfers have not ended, and when each is to be looked at: the durable timers of transfers.

use std::collections::BTreeMap;

use async_trait::async_trait;
use folio_core::saga::{Saga, SagaEvent};
use folio_core::{RecordedEvent, Timestamp};
use folio_projections::{
    ModelTransaction, ProjectionName, Projector, ProjectorError, Reader, Wanted,
};

use crate::read_model::QueryError;
use crate::transfer::{Transfer, TransferAnswer, TransferOrder};

/// How long after its last event a transfer is looked at that nobody waits for: by then whoever drove it has gone.
const GRACE_MICROS: i64 = 2_000_000;

const ENDED: &str = "DELETE FROM open_transfers WHERE transfer_id = ANY($1)";
const DUE: &str = "SELECT transfer_id FROM open_transfers WHERE due_at <= $1 \
     ORDER BY due_at LIMIT $2";

/// Projects the transfers that are open into the table of `sql/tables.sql`.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OpenTransfersProjector;

/// Reads which transfers are due.
#[derive(Debug, Clone)]
pub(crate) struct OpenTransfers {
    reader: Reader,
}

impl OpenTransfersProjector {
    pub(crate) const NAME: ProjectionName = ProjectionName::new("open_transfers", 1);
}

#[async_trait]
impl Projector for OpenTransfersProjector {
    fn name(&self) -> ProjectionName {
        Self::NAME
    }

    fn wants(&self) -> Wanted {
        Wanted::category(Transfer::CATEGORY)
    }

    fn tables(&self) -> &str {
        include_str!("sql/tables.sql")
    }

    async fn handle(
        &self,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        // The last word on each: when it is due, or that it has ended.
        let mut words: BTreeMap<&str, Option<i64>> = BTreeMap::new();
        for recorded in events {
            for event in recorded.decode()? {
                words.insert(recorded.stream.id(), due(recorded, &event));
            }
        }
        let open = words.iter().filter_map(|(id, due)| Some((*id, (*due)?)));
        let (open, due): (Vec<&str>, Vec<i64>) = open.unzip();
        let ended = words.iter().filter(|(_, due)| due.is_none());
        let ended: Vec<&str> = ended.map(|(id, _)| *id).collect();
        model
            .upsert("open_transfers")
            .key("transfer_id", &open)
            .set("due_at", &due)
            .execute()
            .await?;
        let delete = model.prepare_cached(ENDED).await?;
        model.execute(&delete, &[&ended]).await?;
        Ok(())
    }
}

/// When a transfer is to be looked at after this event; none when it has ended.
fn due(recorded: &RecordedEvent, event: &SagaEvent<TransferOrder, TransferAnswer>) -> Option<i64> {
    match event {
        SagaEvent::SagaCompleted | SagaEvent::SagaUndone => None,
        SagaEvent::TryFailed { retry_at, .. } => Some(retry_at.micros()),
        SagaEvent::Parked { until, .. } => Some(until.micros()),
        SagaEvent::OperatorActed { .. } => Some(recorded.recorded_at.micros()),
        SagaEvent::SagaBegun { .. }
        | SagaEvent::StepAsked { .. }
        | SagaEvent::StepDone { .. }
        | SagaEvent::StepRefused { .. }
        | SagaEvent::UndoingBegun { .. }
        | SagaEvent::StepUndone { .. }
        | SagaEvent::AttentionNeeded { .. } => {
            Some(recorded.recorded_at.micros().saturating_add(GRACE_MICROS))
        }
    }
}

impl OpenTransfers {
    pub(crate) const fn new(reader: Reader) -> Self {
        Self { reader }
    }

    /// The transfers that are due at `now`, the oldest first.
    pub(crate) async fn due(&self, now: Timestamp, most: i64) -> Result<Vec<String>, QueryError> {
        let reading = self.reader.read().await?;
        let statement = reading.prepare_cached(DUE).await?;
        let rows = reading.query(&statement, &[&now.micros(), &most]).await?;
        reading.close().await?;
        let ids = rows.iter().map(|row| row.try_get(0));
        Ok(ids.collect::<Result<_, _>>()?)
    }
}
