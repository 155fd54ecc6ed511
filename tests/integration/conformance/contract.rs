//! The contract suite on PostgreSQL; the in-memory store runs the same one beside its code.

use std::sync::Arc;

use folio_tests::postgres;

folio_core::event_store_contract!(async { Arc::new(postgres::store().await) });
