//! A key that signs, in a file that nobody else reads.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::signature::Ed25519KeyPair;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::Identity;
use super::names::{KeyId, Scope};
use super::public_keys::KeysRefusal;

/// Keys before the one in force that are believed yet.
const FORMER_MAX: usize = 2;

/// An Ed25519 key pair. Its id is the thumbprint of its public half.
#[derive(Debug, Clone)]
pub struct SigningKey {
    id: KeyId,
    key: EncodingKey,
    /// The public half, as it stands in a JWK.
    x: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    scope: String,
    iat: u64,
    exp: u64,
}

/// A file of keys that is not usable.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("{} cannot be read or written", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read it.
    #[error("{} can be read by others; run chmod 600 on it, and replace the key if they may have", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
    },
    /// It does not hold a private key.
    #[error("{} holds no Ed25519 key in PKCS#8 PEM", path.display())]
    NotAKey {
        /// The file.
        path: PathBuf,
    },
    /// It does not hold public keys.
    #[error("{} holds no public keys", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: KeysRefusal,
    },
    /// No key can be made.
    #[error("no key can be made: the system gives no random numbers")]
    NotMade,
}

/// A token that could not be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a token could not be signed; check the clock and the key")]
pub struct SignError;

impl SigningKey {
    /// The file with both halves, in its folder.
    pub const PRIVATE_FILE: &str = "signing-key.pem";
    /// The file with the public half, beside it.
    pub const PUBLIC_FILE: &str = "jwks.json";

    /// The key in this folder. It is made if there is none, and its public half is written beside it, in front of those of the two keys
    /// before it: who verifies by that file knows a new key before its first token, and tokens of the old one until they expire.
    ///
    /// So a key is exchanged by removing the file of its private half; one that must not be believed any more, with the public file too.
    ///
    /// Several processes may ask at once: all get the same key.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`].
    pub fn in_folder(folder: &Path) -> Result<Self, KeyFileError> {
        let path = folder.join(Self::PRIVATE_FILE);
        if !path.exists() {
            fs::create_dir_all(folder).map_err(|source| KeyFileError::io(folder, source))?;
            make(&path)?;
        }
        let key = Self::from_file(&path)?;
        let public = folder.join(Self::PUBLIC_FILE);
        // What cannot be read there is no key that anybody could believe.
        let before = fs::read(&public).unwrap_or_default();
        let written = write_beside(&public, key.public_set_before(&before).as_bytes(), 0o644)?;
        fs::rename(&written, &public).map_err(|source| KeyFileError::io(&public, source))?;
        Ok(key)
    }

    /// Reads a key in PKCS#8 PEM.
    ///
    /// # Errors
    ///
    /// [`KeyFileError`], also when others may read the file.
    pub fn from_file(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |source| KeyFileError::io(path, source);
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
        let path_buf = path.to_owned();
        if mode & 0o077 != 0 {
            return Err(KeyFileError::Exposed { path: path_buf });
        }
        let pem = fs::read(path).map_err(failed)?;
        Self::from_pem(&pem).ok_or(KeyFileError::NotAKey { path: path_buf })
    }

    fn from_pem(pem: &[u8]) -> Option<Self> {
        let key = EncodingKey::from_ed_pem(pem).ok()?;
        let jwk = Jwk::from_encoding_key(&key, Algorithm::EdDSA).ok()?;
        let id = jwk.thumbprint(ThumbprintHash::SHA256).ok()?;
        let AlgorithmParameters::OctetKeyPair(public) = jwk.algorithm else {
            return None;
        };
        Some(Self {
            id: id.parse().ok()?,
            key,
            x: public.x,
        })
    }

    /// By what its tokens name it.
    #[must_use]
    pub const fn id(&self) -> &KeyId {
        &self.id
    }

    /// The JWK set with its public half, as [`PublicKeys`](super::PublicKeys) reads it.
    #[must_use]
    pub fn public_set(&self) -> String {
        json!({ "keys": [self.public_half()] }).to_string()
    }

    /// The same, with the latest of a set that was in force before.
    fn public_set_before(&self, set: &[u8]) -> String {
        let set: Value = serde_json::from_slice(set).unwrap_or_default();
        let former = set.get("keys").and_then(Value::as_array);
        let is_other =
            |key: &&Value| key.get("kid").and_then(Value::as_str) != Some(self.id.as_str());
        let former = former.into_iter().flatten().filter(is_other);
        let mut keys = vec![self.public_half()];
        keys.extend(former.take(FORMER_MAX).cloned());
        json!({ "keys": keys }).to_string()
    }

    fn public_half(&self) -> Value {
        json!({
            "kty": "OKP", "crv": "Ed25519", "x": self.x,
            "kid": self.id.as_str(), "alg": "EdDSA", "use": "sig",
        })
    }

    /// A token that says to `audience` who somebody is, good for `lifetime` from `now` on.
    ///
    /// # Errors
    ///
    /// [`SignError`].
    pub fn issue(
        &self,
        (issuer, audience): (&str, &str),
        identity: &Identity,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<String, SignError> {
        let issued = now.duration_since(UNIX_EPOCH).map_err(|_| SignError)?;
        let claims = Claims {
            iss: issuer,
            aud: audience,
            sub: identity.subject.as_str(),
            scope: Scope::list(&identity.scopes),
            iat: issued.as_secs(),
            exp: issued.as_secs().saturating_add(lifetime.as_secs()),
        };
        let header = Header {
            kid: Some(self.id.as_str().to_owned()),
            ..Header::new(Algorithm::EdDSA)
        };
        jsonwebtoken::encode(&header, &claims, &self.key).map_err(|_| SignError)
    }
}

impl KeyFileError {
    pub(super) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }
}

/// Makes a key, unless somebody else makes one at the same time.
fn make(path: &Path) -> Result<(), KeyFileError> {
    let key = Ed25519KeyPair::generate().map_err(|_| KeyFileError::NotMade)?;
    let der = key.to_pkcs8v1().map_err(|_| KeyFileError::NotMade)?;
    let text = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
    let written = write_beside(path, pem.as_bytes(), 0o600)?;
    // Other than a rename, this leaves a key that is there. It comes whole or not at all.
    let linked = fs::hard_link(&written, path);
    let removed = fs::remove_file(&written);
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => removed,
    }
    .map_err(|source| KeyFileError::io(path, source))
}

/// Writes a file beside this one, of a name that nobody else has.
fn write_beside(path: &Path, text: &[u8], mode: u32) -> Result<PathBuf, KeyFileError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let beside = path.with_extension(format!("{}-{number}.new", std::process::id()));
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        file.write_all(text)?;
        file.sync_all()
    };
    write().map_err(|source| KeyFileError::io(&beside, source))?;
    Ok(beside)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::{Jws, PublicKeys};
    use super::*;

    fn identity() -> Identity {
        Identity {
            subject: "ada".parse().unwrap(),
            scopes: Scope::parse_all("ledger:read").unwrap(),
        }
    }

    #[test]
    fn a_key_is_made_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("keys");
        let made = SigningKey::in_folder(&below).unwrap();
        assert_eq!(SigningKey::in_folder(&below).unwrap().id(), made.id());
        let mut names: Vec<_> = fs::read_dir(&below)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, [SigningKey::PUBLIC_FILE, SigningKey::PRIVATE_FILE]);
    }

    #[test]
    fn a_key_that_is_exchanged_is_believed_on_until_two_others_came() {
        let folder = tempfile::tempdir().unwrap();
        let private = folder.path().join(SigningKey::PRIVATE_FILE);
        let public = folder.path().join(SigningKey::PUBLIC_FILE);
        let mut made = Vec::new();
        for _ in 0..4 {
            let key = SigningKey::in_folder(folder.path()).unwrap();
            // Whoever looks again changes nothing.
            SigningKey::in_folder(folder.path()).unwrap();
            made.push(key);
            fs::remove_file(&private).unwrap();
        }
        let believed = PublicKeys::from_file(&public).unwrap();
        let are_known = made.iter().map(|key| believed.key(key.id()).is_some());
        assert_eq!(are_known.collect::<Vec<_>>(), [false, true, true, true]);
        // One that must not be believed any more.
        fs::remove_file(&public).unwrap();
        let key = SigningKey::in_folder(folder.path()).unwrap();
        let believed = PublicKeys::from_file(&public).unwrap();
        assert!(believed.key(key.id()).is_some());
        assert_eq!(believed.len(), 1);
    }

    #[test]
    fn all_who_ask_at_once_get_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let ids: HashSet<KeyId> = std::thread::scope(|scope| {
            let ask = || SigningKey::in_folder(folder.path()).unwrap().id().clone();
            let asked: Vec<_> = (0..8).map(|_| scope.spawn(ask)).collect();
            asked
                .into_iter()
                .map(|asked| asked.join().unwrap())
                .collect()
        });
        assert_eq!(ids.len(), 1);
    }

    #[test]
    fn nobody_else_reads_the_file_of_a_key() {
        let folder = tempfile::tempdir().unwrap();
        SigningKey::in_folder(folder.path()).unwrap();
        let path = folder.path().join(SigningKey::PRIVATE_FILE);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = SigningKey::in_folder(folder.path()).unwrap_err();
        assert!(matches!(refused, KeyFileError::Exposed { .. }), "{refused}");
    }

    #[test]
    fn a_file_without_a_key_is_refused_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(SigningKey::PRIVATE_FILE);
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .unwrap();
        let refused = SigningKey::in_folder(folder.path()).unwrap_err();
        assert!(matches!(refused, KeyFileError::NotAKey { .. }), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn what_it_signs_its_public_file_verifies() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::in_folder(folder.path()).unwrap();
        let token = key.issue(
            ("me", "you"),
            &identity(),
            Duration::from_secs(60),
            SystemTime::now(),
        );
        let token = token.unwrap();
        let keys = PublicKeys::from_file(&folder.path().join(SigningKey::PUBLIC_FILE)).unwrap();
        let jws = Jws::parse(&token).unwrap();
        let public = keys.key(jws.key_id()).unwrap();
        assert!(jws.verified_by(public).is_ok());
    }

    #[test]
    fn a_private_key_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::in_folder(folder.path()).unwrap();
        let pem = fs::read_to_string(folder.path().join(SigningKey::PRIVATE_FILE)).unwrap();
        let secret = pem.lines().nth(1).unwrap();
        let bytes = format!("{:?}", STANDARD.decode(secret).unwrap());
        let shown = format!("{key:?}");
        assert!(
            !shown.contains(secret) && !shown.contains(&bytes),
            "{shown}"
        );
    }
}
