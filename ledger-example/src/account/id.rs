//! The id of an account, chosen by whoever opens it.

use crate::plain_id::plain_id;

plain_id! {
    /// Names an account.
    AccountId, InvalidAccountId, "an account id"
}

impl AccountId {
    /// The id of a contra account, which is short and plain enough by how it is made.
    pub(crate) fn contra(text: &str) -> Self {
        Self(text.to_owned())
    }
}
