//! The names of the routes that write. A name is part of what a key means, so it never changes.

pub(crate) const OPEN: &str = "POST /v1/accounts";
pub(crate) const CLOSE: &str = "POST /v1/accounts/{id}/close";
pub(crate) const BEGIN_CLOSING: &str = "POST /v1/accounts/{id}/closing";
pub(crate) const LIMITS: &str = "PUT /v1/accounts/{id}/limits";
pub(crate) const FREEZE: &str = "POST /v1/accounts/{id}/freeze";
pub(crate) const UNFREEZE: &str = "POST /v1/accounts/{id}/unfreeze";
pub(crate) const METADATA: &str = "PATCH /v1/accounts/{id}/metadata";
pub(crate) const HOLDER: &str = "PUT /v1/accounts/{id}/holder";
pub(crate) const CREDIT: &str = "POST /v1/accounts/{id}/credits";
pub(crate) const DEBIT: &str = "POST /v1/accounts/{id}/debits";
pub(crate) const BULK: &str = "POST /v1/postings/bulk";
/// Keeps the keys of single postings apart from the keys of whole requests.
pub(crate) const BULK_POSTING: &str = "POST /v1/postings/bulk posting";
pub(crate) const ENTRY: &str = "POST /v1/journal-entries";
pub(crate) const ENTRIES: &str = "POST /v1/journal-entries/bulk";
/// As for single postings.
pub(crate) const BULK_ENTRY: &str = "POST /v1/journal-entries/bulk entry";
pub(crate) const REVERSE: &str = "POST /v1/journal-entries/{id}/reverse";
pub(crate) const HOLD: &str = "POST /v1/holds";
pub(crate) const CAPTURE: &str = "POST /v1/holds/{id}/capture";
pub(crate) const RELEASE: &str = "POST /v1/holds/{id}/release";
pub(crate) const CLOSE_PERIOD: &str = "POST /v1/periods/{day}/close";

/// All of them.
pub(crate) const ALL: [&str; 20] = [
    OPEN,
    CLOSE,
    BEGIN_CLOSING,
    LIMITS,
    FREEZE,
    UNFREEZE,
    METADATA,
    HOLDER,
    CREDIT,
    DEBIT,
    BULK,
    BULK_POSTING,
    ENTRY,
    ENTRIES,
    BULK_ENTRY,
    REVERSE,
    HOLD,
    CAPTURE,
    RELEASE,
    CLOSE_PERIOD,
];
