//! What all runners of a projection work with, and how a projector is called.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use folio_core::filter::Member;
use folio_core::{Checkpoint, Position, RecordedEvent};
use folio_postgres::{Pool, Transaction};
use futures_util::FutureExt;
use futures_util::future::join;
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use crate::build::BuildState;
use crate::given::Given;
use crate::lease::{Lease, Terms};
use crate::model::ModelTransaction;
use crate::name::{BuildName, ProjectionName};
use crate::progress::Report;
use crate::projector::{Projector, ProjectorError};
use crate::runner::RunnerError;
use crate::settings::Settings;
use crate::source::Source;
use crate::taken::{Columns, MOVE};

/// Longest wait for the server to be told that a statement is no longer wanted.
const CANCEL: Duration = Duration::from_secs(1);

pub(crate) struct Shared {
    pub(crate) projector: Arc<dyn Projector>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) models: Pool,
    pub(crate) settings: Settings,
    pub(crate) report: Report,
}

impl Shared {
    pub(crate) fn name(&self) -> ProjectionName {
        self.projector.name()
    }

    /// Begins a batch: moves the checkpoint first, so that nothing is written by whoever may not, and
    /// nothing twice. Tells whether streams of the build are parked.
    pub(crate) async fn begin_batch(
        &self,
        lease: &Lease,
        from: Checkpoint,
        to: Checkpoint,
    ) -> Result<(ModelTransaction, bool), RunnerError> {
        let nothing = async |_: &mut ModelTransaction| Ok(());
        self.begin_and(lease, (from, to), Columns::default(), nothing)
            .await
    }

    /// Begins a batch, and has the projector write it without a wait in between: a round trip less. What
    /// it has sent is carried out behind the move of the checkpoint, and if that was not to be moved,
    /// goes back with it. Tells whether streams of the build are parked: then this must go back as well,
    /// for their events are among those that were handled.
    ///
    /// What the projector is given is recorded by the statement that moves the checkpoint.
    pub(crate) async fn begin_and_handle(
        &self,
        lease: &Lease,
        (from, to): (Checkpoint, Checkpoint),
        terms: &Terms,
        given: &Given,
    ) -> Result<(ModelTransaction, bool), RunnerError> {
        let (events, record) = (given.events(), Columns::of(given.tallies()));
        let handle = async |model: &mut ModelTransaction| self.handle(terms, events, model).await;
        self.begin_and(lease, (from, to), record, handle).await
    }

    async fn begin_and(
        &self,
        lease: &Lease,
        (from, to): (Checkpoint, Checkpoint),
        record: Columns,
        work: impl AsyncFnOnce(&mut ModelTransaction) -> Result<(), ProjectorError>,
    ) -> Result<(ModelTransaction, bool), RunnerError> {
        let client = self.models.get().await.map_err(RunnerError::Pool)?;
        let statement = client.prepare_cached(MOVE).await?;
        let (build, store) = (&lease.name.build, to.store_id.as_uuid());
        let (number, from, through) = (
            lease.name.number(),
            from.position.number(),
            to.position.number(),
        );
        let hash = to.event.as_bytes().as_slice();
        let (projection, build_number) = (&build.projection, &build.build);
        let [a, b, c, d, e, f, g, h] = record.parameters();
        let parameters: [&(dyn ToSql + Sync); 16] = [
            projection,
            build_number,
            &number,
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            &from,
            &lease.epoch,
            &store,
            &through,
            &hash,
        ];
        let opening = self.opening(build);
        let (transaction, moved) =
            Transaction::beginning(client, &opening, &statement, &parameters);
        let mut model = ModelTransaction { transaction };
        let (moved, done) = join(moved, work(&mut model)).await;
        // First whether it was to be done at all: a projector that met rows which it did not expect may
        // have failed because of that.
        let Some(row) = moved?.pop() else {
            model.transaction.rollback().await?;
            return Err(RunnerError::Deposed {
                partition: lease.name.clone(),
            });
        };
        let is_parking: bool = row.try_get(0)?;
        // The error of an event that waits for another one is not its own.
        if !is_parking {
            done?;
        }
        Ok((model, is_parking))
    }

    /// What every transaction on a build begins with: where its tables are, and how long it may last.
    pub(crate) fn opening(&self, build: &BuildName) -> String {
        self.opening_in(&build.schema())
    }

    /// The same, of tables in any schema.
    pub(crate) fn opening_in(&self, schema: &str) -> String {
        let timeout_ms = self.settings.handle_timeout.as_millis();
        format!(
            "SET LOCAL search_path = \"{schema}\"; SET LOCAL statement_timeout = {timeout_ms}; \
             SET LOCAL idle_in_transaction_session_timeout = {timeout_ms}"
        )
    }

    /// Lets the projector write what `events` mean. A panic and a call that does not return are
    /// errors like others; after both, the transaction cannot go on.
    pub(crate) async fn handle(
        &self,
        terms: &Terms,
        events: &[RecordedEvent],
        model: &mut ModelTransaction,
    ) -> Result<(), ProjectorError> {
        let timeout = self.settings.handle_timeout;
        let timed_out = || ProjectorError::TimedOut {
            timeout_ms: timeout.as_millis(),
        };
        let cancel = model.cancel_token();
        let call = async {
            self.projector.handle(events, model).await?;
            match terms.effects_of(events) {
                Effects::None => Ok(()),
                Effects::All => self.projector.effects(events, model).await,
                Effects::Of(events) => self.projector.effects(&events, model).await,
            }
        };
        let called = tokio::time::timeout(timeout, AssertUnwindSafe(call).catch_unwind()).await;
        match called {
            Ok(Ok(Err(ProjectorError::Database(error))))
                if error.code() == Some(&SqlState::QUERY_CANCELED) =>
            {
                Err(timed_out())
            }
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(ProjectorError::Panicked(said(&*panic))),
            Err(_) => {
                // Else the server would work on it, and keep the checkpoint locked.
                let _ = tokio::time::timeout(CANCEL, cancel.cancel_query(NoTls)).await;
                Err(timed_out())
            }
        }
    }
}

/// Of which events effects are to be written.
enum Effects {
    None,
    All,
    Of(Vec<RecordedEvent>),
}

impl Terms {
    /// Effects are the live build's, from where the one before it has left off.
    fn effects_of(&self, events: &[RecordedEvent]) -> Effects {
        if self.state != BuildState::Live || events.is_empty() {
            return Effects::None;
        }
        let done = self.effects_done.iter().max().copied().unwrap_or(0);
        let done = Position::START.plus(done);
        if events.iter().all(|event| event.position > done) {
            return Effects::All;
        }
        let is_open = |event: &&RecordedEvent| {
            let of = u16::try_from(self.effects_done.len()).unwrap_or(u16::MAX);
            let partition = Member::of_stream(&event.stream, of);
            let done = self.effects_done.get(usize::from(partition));
            event.position.number() > done.copied().unwrap_or(0)
        };
        Effects::Of(events.iter().filter(is_open).cloned().collect())
    }
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "it did not say why".to_owned())
}
