//! Whom the gateway believes to ask.

use std::collections::BTreeSet;
use std::sync::Arc;

pub use folio_mesh::identity::{Scope, Subject};

use folio_mesh::identity::Identity;

/// Who asks, what they may, and how that is known. Clones share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    identity: Arc<Identity>,
    kind: PrincipalKind,
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
    /// Whoever has this name, and may do this.
    #[must_use]
    pub fn new(subject: Subject, scopes: BTreeSet<Scope>, kind: PrincipalKind) -> Self {
        let identity = Arc::new(Identity { subject, scopes });
        Self { identity, kind }
    }

    /// Who it is.
    #[must_use]
    pub fn name(&self) -> &Subject {
        &self.identity.subject
    }

    /// How it is known.
    #[must_use]
    pub const fn kind(&self) -> PrincipalKind {
        self.kind
    }

    /// Whether they may do this.
    #[must_use]
    pub fn may(&self, scope: &Scope) -> bool {
        self.identity.scopes.contains(scope)
    }

    /// What the services behind the gateway are told.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }
}
