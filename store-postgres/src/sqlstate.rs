//! What a failure of the database means for a write: one table, read by every caller.

use folio_core::store::StoreSource;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// What a failed statement tells about its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It had none: the server said so.
    None,
    /// It had none, because others were in the way or there was no room: the same again may work.
    NoneYet,
    /// It had none, because the server does not take writes: a standby, or one that was told not to.
    NotHere,
    /// Not known: the connection broke, or the server ended the session, after it was sent.
    Unknown,
}

impl Effect {
    pub(crate) fn of(error: &tokio_postgres::Error) -> Self {
        let severity = error.as_db_error().and_then(DbError::parsed_severity);
        match error.code() {
            // The server's process dies with these words. It may have come as far as the commit
            // record, which the recovery then finds.
            Some(_) if matches!(severity, Some(Severity::Fatal | Severity::Panic)) => Self::Unknown,
            Some(code)
                if [
                    SqlState::ADMIN_SHUTDOWN,
                    SqlState::CRASH_SHUTDOWN,
                    SqlState::DATABASE_DROPPED,
                    SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                ]
                .contains(code) =>
            {
                Self::Unknown
            }
            Some(code)
                if [
                    SqlState::T_R_SERIALIZATION_FAILURE,
                    SqlState::T_R_DEADLOCK_DETECTED,
                    SqlState::LOCK_NOT_AVAILABLE,
                    SqlState::DISK_FULL,
                ]
                .contains(code) =>
            {
                Self::NoneYet
            }
            Some(&SqlState::READ_ONLY_SQL_TRANSACTION) => Self::NotHere,
            Some(_) => Self::None,
            // Without a code it was the client or the wire that failed. A value that cannot be
            // converted never leaves the client, but the driver does not tell the two apart.
            None => Self::Unknown,
        }
    }
}

/// Boxes an error for the store's contract.
pub(crate) fn boxed(error: impl std::error::Error + Send + Sync + 'static) -> StoreSource {
    Box::new(error)
}
