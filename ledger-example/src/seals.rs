//! How a service has the store that it writes to sealed.

use std::sync::Arc;

use folio_audit::{Anchors, FreshLeaves, LogKeys, SealerSettings, Sealing};
use folio_postgres::{Database, PostgresStore};

/// By which keys a store is sealed, and where its checkpoints are kept outside of the database.
#[derive(Debug, Clone)]
pub struct Seals {
    /// The keys.
    pub keys: LogKeys,
    /// Where checkpoints are kept.
    pub anchors: Anchors,
}

impl Seals {
    /// What seals `store`, which is in `database`, once it is run. Of what this process writes it hears from the store.
    pub(crate) fn sealing(self, store: &PostgresStore, database: &Database) -> Sealing {
        let fresh = Arc::new(FreshLeaves::default());
        store.observe_commits(Some(Arc::clone(&fresh) as _));
        Sealing {
            database: database.clone(),
            keys: self.keys,
            settings: SealerSettings::default(),
            anchors: self.anchors,
            fresh: Some(fresh),
        }
    }
}
