//! `replay --projection`: a model as of any position or moment, filled beside the builds and removed again.

use folio_core::{EventStore, Position, StreamId, Timestamp};
use folio_projections::{RowCount, Shadow};
use serde::Serialize;

use super::error::ReplayError;
use super::{Known, Style};
use crate::bar::{bar, figure};
use crate::desk::Desk;
use crate::error::OperatorError;
use crate::finding::Finding;
use crate::format::json;
use crate::moment::last_before;
use crate::table::{Column, Table};

/// A model, in figures.
#[derive(Debug, Serialize)]
struct Model<'a> {
    projection: &'a str,
    position: i64,
    head: i64,
    tables: Vec<Rows>,
    parked: Vec<Parked>,
}

#[derive(Debug, Serialize)]
struct Rows {
    table: String,
    rows: i64,
}

/// A stream that could not be taken in to its end.
#[derive(Debug, Serialize)]
pub(crate) struct Parked {
    pub(crate) stream: String,
    pub(crate) error: String,
}

impl Parked {
    pub(crate) fn new((stream, error): (&StreamId, &String)) -> Self {
        Self {
            stream: stream.to_string(),
            error: error.clone(),
        }
    }
}

/// `store` is the one whose events it is of.
pub(super) async fn replay(
    desk: &mut Desk<'_>,
    store: &dyn EventStore,
    name: &str,
    to: Option<Known>,
    style: Style,
) -> Result<Finding, OperatorError> {
    let projection = desk.find(name)?;
    let source = projection.source();
    let head = source.head().await.map_err(ReplayError::from)?;
    let wanted = match to {
        None => head,
        Some(Known::Position(position)) => position,
        Some(Known::Moment(moment)) => {
            // What was recorded at the moment itself was known by then.
            let after = Timestamp::from_micros(moment.micros().saturating_add(1));
            let known = last_before(store, after, head).await;
            known.map_err(ReplayError::from)?
        }
    };
    if head < wanted {
        return Err(ReplayError::PositionNotReached { head, wanted }.into());
    }
    let mut shadow = projection.shadow().await?;
    let mut stop = desk.stop.clone();
    let filled = tokio::select! {
        filled = fill(&mut shadow, wanted) => filled,
        _ = stop.wait_for(|stop| *stop) => Err(OperatorError::Interrupted),
    };
    let parked: Vec<Parked> = shadow.parked().iter().map(Parked::new).collect();
    shadow.remove().await?;
    let row = |RowCount { table, rows }| Rows { table, rows };
    let model = Model {
        projection: projection.name().name,
        position: wanted.number(),
        head: head.number(),
        tables: filled?.into_iter().map(row).collect(),
        parked,
    };
    match style {
        Style::Text => {
            desk.say(model.table())?;
            desk.say(format_args!(
                "{name} as of position {wanted}, the store is at {head}"
            ))?;
            for Parked { stream, error } in &model.parked {
                desk.say(format_args!("{stream} is not taken in: {error}"))?;
            }
        }
        Style::Json => json(desk.out, &model)?,
    }
    Ok(Finding::clean_if(model.parked.is_empty()))
}

async fn fill(shadow: &mut Shadow, to: Position) -> Result<Vec<RowCount>, OperatorError> {
    let bar = bar("replaying", to.number());
    let told = |at: Position| bar.set_position(figure(at.number()));
    shadow.fill_to(to, &told).await?;
    Ok(shadow.counts().await?)
}

impl Model<'_> {
    fn table(&self) -> Table<2> {
        let rows = self.tables.iter();
        Table::new(
            [Column::Text("table"), Column::Figure("rows")],
            rows.map(|row| [row.table.clone(), row.rows.to_string()]),
        )
    }
}
