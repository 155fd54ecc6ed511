//! The transaction in which a projector writes.

use std::ops::Deref;

use deadpool_postgres::ClientWrapper;
use folio_postgres::Transaction;

use crate::projector::ProjectorError;
use crate::upsert::Upsert;

const TABLES: &str = "SELECT format('%I', tablename) FROM pg_catalog.pg_tables \
                      WHERE schemaname = current_schema()";

/// The transaction of one batch, in which table names mean the tables of the build.
///
/// It [derefs](Deref) to the client for statements of any kind; [`upsert`](Self::upsert) and
/// [`insert`](Self::insert) write sets of rows in one statement. It is not the projector's to end.
#[derive(Debug)]
pub struct ModelTransaction {
    pub(crate) transaction: Transaction,
}

impl ModelTransaction {
    /// Writes rows, by column: those whose key is new are inserted, the others changed.
    ///
    /// ```
    /// # use folio_projections::{ModelTransaction, ProjectorError};
    /// # async fn write(model: &mut ModelTransaction) -> Result<(), ProjectorError> {
    /// let accounts = vec!["savings", "checking"];
    /// model
    ///     .upsert("balances")
    ///     .key("account", &accounts)
    ///     .add("cents", &vec![500_i64, -20])
    ///     .set("version", &vec![3_i64, 8])
    ///     .execute()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn upsert<'t>(&'t self, table: &'t str) -> Upsert<'t> {
        Upsert::changing(self, table)
    }

    /// Writes rows, by column. One whose key is there already fails the batch: it would be an event
    /// that came twice.
    pub fn insert<'t>(&'t self, table: &'t str) -> Upsert<'t> {
        Upsert::adding(self, table)
    }

    /// Empties all tables of the build.
    pub(crate) async fn truncate_all(&self) -> Result<(), ProjectorError> {
        let rows = self.query(TABLES, &[]).await?;
        for row in rows {
            let table: String = row.try_get(0)?;
            self.batch_execute(&format!("DELETE FROM {table}")).await?;
        }
        Ok(())
    }
}

impl Deref for ModelTransaction {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        &self.transaction
    }
}
