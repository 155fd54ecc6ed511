//! A store, by the name that people know it by.

use std::fmt;
use std::sync::Arc;

use folio_core::EventStore;

/// A store, by the name that people know it by: that of its service, or of its book.
#[derive(Clone)]
pub struct NamedStore {
    /// The name.
    pub name: String,
    /// The store.
    pub store: Arc<dyn EventStore>,
}

impl NamedStore {
    /// This store, under this name.
    pub fn new(name: impl Into<String>, store: impl EventStore) -> Self {
        Self {
            name: name.into(),
            store: Arc::new(store),
        }
    }
}

impl fmt::Debug for NamedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedStore")
            .field("name", &self.name)
            .field("store_id", &self.store.store_id())
            .finish_non_exhaustive()
    }
}
