//! What a token says, and what it must say to be believed.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use thiserror::Error;

use super::json::{self, JsonRefusal, present};
use super::names::{Scope, Subject};

/// What a token says whose signature holds.
pub struct VerifiedPayload(pub(super) Vec<u8>);

/// What a token must say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Who must have issued it, to the letter.
    pub issuer: String,
    /// Whom it must be meant for, among others.
    pub audience: String,
    /// How much the clocks of who issued it and of who reads it may differ.
    pub leeway: Duration,
}

/// What a token said that is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who it speaks of.
    pub subject: Subject,
    /// What they may.
    pub scopes: BTreeSet<Scope>,
    /// Until when it is good.
    pub expires_at: SystemTime,
}

#[derive(Deserialize)]
struct Read {
    #[serde(default, deserialize_with = "present")]
    iss: Option<String>,
    #[serde(default, deserialize_with = "present")]
    sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Audience>,
    #[serde(default, deserialize_with = "present")]
    exp: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    scope: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

/// Why a token is not believed though its signature holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClaimsRefusal {
    /// It cannot be read.
    #[error("the claims of the token are refused: {0}")]
    Unreadable(JsonRefusal),
    /// It does not say something that it must.
    #[error("the token has no {claim}")]
    Missing {
        /// What is missing.
        claim: &'static str,
    },
    /// Somebody else issued it.
    #[error("the token is of another issuer")]
    Issuer,
    /// It is meant for somebody else.
    #[error("the token is meant for another audience")]
    Audience,
    /// Its subject is not a name.
    #[error("the subject of the token is not 1 to 128 visible ASCII characters")]
    Subject,
    /// What it allows cannot be read.
    #[error("the scopes of the token are not names with a space between two")]
    Scope,
    /// It is good only later, or at no time that there is.
    #[error("the token is not good yet")]
    NotYet,
    /// It is no longer good.
    #[error("the token has expired")]
    Expired,
}

impl Expected {
    /// What the token says, if it is what it must be at this time.
    ///
    /// # Errors
    ///
    /// [`ClaimsRefusal`]. That a token has expired is said only of one that was good.
    pub fn claims(
        &self,
        payload: &VerifiedPayload,
        now: SystemTime,
    ) -> Result<Claims, ClaimsRefusal> {
        let read: Read = json::read(&payload.0).map_err(ClaimsRefusal::Unreadable)?;
        let missing = |claim| ClaimsRefusal::Missing { claim };
        if read.iss.ok_or(missing("iss"))? != self.issuer {
            return Err(ClaimsRefusal::Issuer);
        }
        if !read.aud.ok_or(missing("aud"))?.names(&self.audience) {
            return Err(ClaimsRefusal::Audience);
        }
        let subject = read.sub.ok_or(missing("sub"))?;
        let expires_at = time(read.exp.ok_or(missing("exp"))?)?;
        let claims = Claims {
            subject: subject.parse().map_err(|_| ClaimsRefusal::Subject)?,
            scopes: Scope::parse_all(&read.scope.unwrap_or_default())
                .map_err(|_| ClaimsRefusal::Scope)?,
            expires_at,
        };
        if let Some(not_before) = read.nbf
            && now + self.leeway < time(not_before)?
        {
            return Err(ClaimsRefusal::NotYet);
        }
        if now >= expires_at + self.leeway {
            return Err(ClaimsRefusal::Expired);
        }
        Ok(claims)
    }
}

impl fmt::Debug for VerifiedPayload {
    // With its signature it is the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedPayload").finish_non_exhaustive()
    }
}

impl Audience {
    fn names(&self, audience: &str) -> bool {
        match self {
            Self::One(name) => name == audience,
            Self::Several(names) => names.iter().any(|name| name == audience),
        }
    }
}

/// A time of a token, of which there is none beyond the year 9999.
fn time(seconds: u64) -> Result<SystemTime, ClaimsRefusal> {
    const MAX: u64 = 253_402_300_799;
    match seconds {
        0..=MAX => Ok(UNIX_EPOCH + Duration::from_secs(seconds)),
        _ => Err(ClaimsRefusal::NotYet),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn claims(text: &str) -> Result<Claims, ClaimsRefusal> {
        let expected = Expected {
            issuer: "issuer".to_owned(),
            audience: "ledger".to_owned(),
            leeway: Duration::from_secs(30),
        };
        let payload = VerifiedPayload(text.as_bytes().to_vec());
        expected.claims(&payload, UNIX_EPOCH + Duration::from_secs(NOW))
    }

    fn with(more: &str) -> Result<Claims, ClaimsRefusal> {
        let text = r#"{"iss":"issuer","sub":"ada","aud":"ledger","#;
        claims(&format!("{text}{more}}}"))
    }

    #[test]
    fn what_is_said_is_what_is_read() {
        let said = with(r#""exp":1800000060,"scope":"ledger:read ops:audit""#).unwrap();
        assert_eq!(said.subject.as_str(), "ada");
        assert_eq!(Scope::list(&said.scopes), "ledger:read ops:audit");
        assert_eq!(said.expires_at, UNIX_EPOCH + Duration::from_secs(NOW + 60));
    }

    #[test]
    fn a_token_without_scopes_allows_nothing() {
        assert_eq!(with(r#""exp":1800000060"#).unwrap().scopes, BTreeSet::new());
    }

    #[test]
    fn claims_of_another_type_are_refused() {
        let unfit = Err(ClaimsRefusal::Unreadable(JsonRefusal::Unfit));
        for more in [
            r#""exp":"1800000060""#,
            r#""exp":-1"#,
            r#""exp":1e400"#,
            r#""exp":null"#,
            r#""exp":1800000060,"nbf":null"#,
            r#""exp":1800000060,"scope":["ledger:read"]"#,
        ] {
            let refused = with(more);
            let no_number = Err(ClaimsRefusal::Unreadable(JsonRefusal::NotAnObject));
            assert!(
                refused == unfit || refused == no_number,
                "{more}: {refused:?}"
            );
        }
    }

    #[test]
    fn a_time_that_no_clock_reaches_is_no_time() {
        let forever = format!(r#""exp":{}"#, u64::MAX);
        assert_eq!(with(&forever), Err(ClaimsRefusal::NotYet));
    }

    #[test]
    fn a_token_of_somebody_else_is_not_called_expired() {
        let text = r#"{"iss":"other","sub":"ada","aud":"ledger","exp":1}"#;
        assert_eq!(claims(text), Err(ClaimsRefusal::Issuer));
    }

    #[test]
    fn a_subject_that_is_no_name_is_refused() {
        for subject in ["", "a b", "a\\nb", &"x".repeat(129)] {
            let text =
                format!(r#"{{"iss":"issuer","sub":"{subject}","aud":"ledger","exp":{NOW}}}"#);
            assert_eq!(claims(&text), Err(ClaimsRefusal::Subject), "{subject}");
        }
    }
}
