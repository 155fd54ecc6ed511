//! An issuer of tokens for who has none: on one's own machine, in demonstrations and tests.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use folio_mesh::identity::{Identity, KeyFileError, SignError, SigningKey};

use super::principal::{Scope, Subject};

/// Issues tokens with a key in a folder, where its public half is too.
#[derive(Debug)]
pub struct LocalIssuer {
    key: SigningKey,
    jwks: PathBuf,
    name: String,
    audience: String,
}

impl LocalIssuer {
    /// Finds the key in this folder, or makes it. Tokens are issued by `name` for `audience`.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`].
    pub fn in_folder(folder: &Path, name: &str, audience: &str) -> Result<Self, KeyFileError> {
        Ok(Self {
            key: SigningKey::in_folder(folder)?,
            jwks: folder.join(SigningKey::PUBLIC_FILE),
            name: name.to_owned(),
            audience: audience.to_owned(),
        })
    }

    /// The file of its public keys, for whoever verifies its tokens.
    #[must_use]
    pub fn jwks(&self) -> &Path {
        &self.jwks
    }

    /// A token that is good for `lifetime` from now on.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    pub fn issue(
        &self,
        subject: &Subject,
        scopes: &BTreeSet<Scope>,
        lifetime: Duration,
    ) -> Result<String, SignError> {
        let identity = Identity {
            subject: subject.clone(),
            scopes: scopes.clone(),
        };
        let between = (self.name.as_str(), self.audience.as_str());
        self.key
            .issue(between, &identity, lifetime, SystemTime::now())
    }
}
