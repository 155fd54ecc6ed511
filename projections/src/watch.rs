//! Looks at some rows of a model while it is replayed, event by event.

use folio_core::RecordedEvent;

use crate::diff::{Comparison, RowDiff};
use crate::divergence::{Compared, Diverged, Verdict};
use crate::model::ModelTransaction;

/// Looks at the rows that differ, while they are replayed.
#[derive(Debug)]
pub(crate) struct Watch {
    tables: Vec<WatchedTable>,
}

#[derive(Debug)]
struct WatchedTable {
    table: String,
    statement: String,
    /// By which each row is found, as JSON; and how it is in the live model.
    known: Vec<String>,
    live: Vec<Option<String>>,
    rows: Vec<Watched>,
}

/// A row, as far as it was replayed.
#[derive(Debug)]
struct Watched {
    row: RowDiff,
    now: Option<String>,
    /// Whether it is now as the live model has it.
    is_as_live: bool,
    /// The event after which it last was not any more.
    left: Option<RecordedEvent>,
    written: Option<RecordedEvent>,
}

impl Watch {
    pub(crate) fn new(compared: &[Compared]) -> Self {
        let differing = compared
            .iter()
            .filter_map(|(of, key)| match &of.comparison {
                Comparison::Compared { rows, .. } if !rows.is_empty() => {
                    Some(WatchedTable::new(&of.table, key, rows))
                }
                Comparison::Compared { .. } | Comparison::OnlyInOne | Comparison::NoKey => None,
            });
        Self {
            tables: differing.collect(),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.tables.is_empty()
    }

    /// Looks at what `event` has made of the rows.
    pub(crate) async fn look(
        &mut self,
        model: &ModelTransaction,
        event: &RecordedEvent,
    ) -> Result<(), tokio_postgres::Error> {
        for table in &mut self.tables {
            table.look(model, event).await?;
        }
        Ok(())
    }

    pub(crate) fn verdicts(self) -> Vec<Diverged> {
        let tables = self.tables.into_iter();
        let rows = tables.flat_map(|WatchedTable { table, rows, .. }| {
            rows.into_iter().map(move |watched| Diverged {
                table: table.clone(),
                verdict: watched.verdict(),
                row: watched.row,
            })
        });
        rows.collect()
    }
}

impl WatchedTable {
    fn new(table: &str, key: &[String], rows: &[RowDiff]) -> Self {
        let on: Vec<String> = key
            .iter()
            .map(|column| format!("s.{column} = k.{column}"))
            .collect();
        let statement = format!(
            "SELECT to_jsonb(s.*)::text, to_jsonb(s.*) IS NOT DISTINCT FROM w.live::jsonb \
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY w (known, live, place) \
             CROSS JOIN LATERAL jsonb_populate_record(NULL::{table}, w.known::jsonb) k \
             LEFT JOIN {table} s ON {} ORDER BY w.place",
            on.join(" AND ")
        );
        let known = |row: &RowDiff| row.live.clone().or_else(|| row.build.clone());
        Self {
            table: table.to_owned(),
            statement,
            known: rows.iter().filter_map(known).collect(),
            live: rows.iter().map(|row| row.live.clone()).collect(),
            rows: rows.iter().cloned().map(Watched::new).collect(),
        }
    }

    async fn look(
        &mut self,
        client: &ModelTransaction,
        event: &RecordedEvent,
    ) -> Result<(), tokio_postgres::Error> {
        let statement = client.prepare_cached(&self.statement).await?;
        let found = client.query(&statement, &[&self.known, &self.live]).await?;
        for (watched, row) in self.rows.iter_mut().zip(&found) {
            watched.is_now(row.try_get(0)?, row.try_get(1)?, event);
        }
        Ok(())
    }
}

impl Watched {
    /// Before the first event there is no row.
    fn new(row: RowDiff) -> Self {
        Self {
            is_as_live: row.live.is_none(),
            row,
            now: None,
            left: None,
            written: None,
        }
    }

    fn is_now(&mut self, now: Option<String>, is_as_live: bool, event: &RecordedEvent) {
        if now == self.now {
            return;
        }
        self.now = now;
        self.written = Some(event.clone());
        if self.is_as_live && !is_as_live {
            self.left = Some(event.clone());
        }
        self.is_as_live = is_as_live;
    }

    fn verdict(&self) -> Verdict {
        if self.is_as_live || self.now != self.row.build {
            return Verdict::Unsteady;
        }
        match (&self.left, &self.written) {
            (Some(since), _) if self.row.live.is_none() => Verdict::Missing {
                since: since.clone(),
            },
            (Some(missed), _) => Verdict::Behind {
                missed: missed.clone(),
            },
            (None, Some(written)) => Verdict::Altered {
                written: written.clone(),
            },
            (None, None) => Verdict::Unfounded,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::testing::History;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Happened {
        It,
    }
    impl folio_core::Event for Happened {}

    /// What is said of a row that is `live` in the model, and in a replay is as `right` after each event in turn.
    fn said(live: Option<&str>, right: &[Option<&str>]) -> (&'static str, Option<i64>) {
        let text = |row: Option<&str>| row.map(str::to_owned);
        let mut watched = Watched::new(RowDiff {
            live: text(live),
            build: text(right.last().copied().flatten()),
        });
        let happened = |history: History, _: &_| history.happened("a", "1", &Happened::It);
        let history = right.iter().try_fold(History::new(), happened).unwrap();
        for (row, event) in right.iter().zip(history.events()) {
            watched.is_now(text(*row), *row == live, event);
        }
        let verdict = watched.verdict();
        let position = verdict.event().map(|event| event.position.number());
        (verdict.as_str(), position)
    }

    #[test]
    fn a_row_that_is_not_there_is_missing_since_it_was_made_last() {
        let (a, b) = (Some("a"), Some("b"));
        assert_eq!(said(None, &[None, a, b]), ("missing", Some(2)));
        assert_eq!(said(None, &[a, None, b, a]), ("missing", Some(3)));
    }

    #[test]
    fn a_row_as_it_once_was_has_missed_the_event_after_the_last_time() {
        let (a, b, c) = (Some("a"), Some("b"), Some("c"));
        assert_eq!(said(a, &[a, a, b, c]), ("behind", Some(3)));
        assert_eq!(said(a, &[a, b, a, c]), ("behind", Some(4)));
        assert_eq!(said(a, &[a, None]), ("behind", Some(2)));
    }

    #[test]
    fn a_row_as_it_never_was_is_altered() {
        let (a, b, x) = (Some("a"), Some("b"), Some("x"));
        assert_eq!(said(x, &[a, b, b]), ("altered", Some(2)));
        assert_eq!(said(x, &[a, None]), ("altered", Some(2)));
        assert_eq!(said(x, &[None, None]), ("unfounded", None));
    }

    #[test]
    fn nothing_is_said_where_replays_differ() {
        let row = RowDiff {
            live: Some("x".to_owned()),
            build: Some("a".to_owned()),
        };
        // The second replay has left nothing where the first one had a row.
        assert_eq!(Watched::new(row).verdict(), Verdict::Unsteady);
    }
}
