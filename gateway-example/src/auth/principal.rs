//! Whom the gateway believes to ask.

use std::collections::BTreeSet;

pub use folio_mesh::identity::{Scope, Subject};

use folio_mesh::identity::Identity;

/// Who asks, what they may, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who it is.
    pub name: Subject,
    /// What they may.
    pub scopes: BTreeSet<Scope>,
    /// How it is known.
    pub kind: PrincipalKind,
}

/// How it is known who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PrincipalKind {
    /// By a token that an issuer signed.
    Token,
    /// By a key that the gateway made.
    ApiKey,
}

impl Principal {
    /// Whether they may do this.
    #[must_use]
    pub fn may(&self, scope: &Scope) -> bool {
        self.scopes.contains(scope)
    }

    /// What the services behind the gateway are told.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity {
            subject: self.name.clone(),
            scopes: self.scopes.clone(),
        }
    }
}
