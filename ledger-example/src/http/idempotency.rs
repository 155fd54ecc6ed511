//! From a client's key to a command's id.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use folio_core::{Actor, Cause, CommandContext, CommandId, CorrelationId};

use crate::http::layer::Trace;
use crate::http::position::{self, PositionToken};
use crate::http::problem::Problem;

/// Marks the answer to a repeated request.
pub const REPLAYED: &str = "idempotent-replayed";

/// The client's key for one request.
const KEY: &str = "idempotency-key";
/// Who asks. The service believes its caller: it is reached through a gateway that has checked.
const ACTOR: &str = "folio-actor";
/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;

/// Who asks, under which key, and in which trace: what a handler makes a [`CommandContext`] of.
#[derive(Debug, Clone)]
pub struct Caller {
    asker: Asker,
    key: String,
}

impl Caller {
    /// The context of the command that this request is.
    ///
    /// `route` keeps the keys of two endpoints apart, the actor those of two clients.
    #[must_use]
    pub fn context(&self, route: &str) -> CommandContext {
        self.context_of(route, &self.key)
    }

    /// The context of one command among several in this request, with a key of its own.
    #[must_use]
    pub fn context_of(&self, route: &str, key: &str) -> CommandContext {
        let id = CommandId::derived(&[self.asker.actor.name(), route, key]);
        self.asker.context(id)
    }
}

/// Who asks, in which trace, and for which event of theirs: of a request that has no key of its own.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Who.
    pub actor: Actor,
    correlation_id: CorrelationId,
    cause: Option<Cause>,
}

impl Asker {
    /// The context of a command of this id that the request is.
    #[must_use]
    pub fn context(&self, id: CommandId) -> CommandContext {
        CommandContext {
            correlation_id: self.correlation_id,
            cause: self.cause,
            ..CommandContext::new(id, self.actor.clone())
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self {
            asker: Asker::from_request_parts(parts, state).await?,
            key: key(&parts.headers)?,
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let correlation_id = match parts.extensions.get::<Trace>() {
            Some(trace) => trace.correlation_id(),
            None => CorrelationId::from_uuid(uuid::Uuid::now_v7()),
        };
        Ok(Self {
            actor: actor(&parts.headers)?,
            correlation_id,
            cause: cause(&parts.headers)?,
        })
    }
}

fn key(headers: &HeaderMap) -> Result<String, Problem> {
    let invalid = |detail: &str| {
        Problem::client(
            StatusCode::BAD_REQUEST,
            "idempotency_key_invalid",
            "Not an idempotency key",
            detail,
        )
    };
    let Some(value) = headers.get(KEY) else {
        return Err(Problem::client(
            StatusCode::BAD_REQUEST,
            "idempotency_key_missing",
            "An idempotency key is needed",
            "send the header Idempotency-Key with a value that no other request of yours has",
        ));
    };
    if headers.get_all(KEY).iter().count() > 1 {
        return Err(invalid("send the header Idempotency-Key once"));
    }
    // The IETF draft writes the key as a quoted string; a bare one is as good.
    let text = value
        .to_str()
        .map_err(|_| invalid("a key is visible ASCII"))?;
    let text = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    check_key(text).map_err(invalid)?;
    Ok(text.to_owned())
}

/// Whether a text can be a key: 1 to 255 visible ASCII characters.
///
/// # Errors
///
/// What a key is, when it is not one.
pub(crate) fn check_key(text: &str) -> Result<(), &'static str> {
    let is_visible = text.bytes().all(|b| b.is_ascii_graphic());
    if is_visible && (1..=KEY_BYTES_MAX).contains(&text.len()) {
        Ok(())
    } else {
        Err("a key has 1 to 255 visible ASCII characters")
    }
}

/// The event in the caller's store that the request is for, where it names one.
fn cause(headers: &HeaderMap) -> Result<Option<Cause>, Problem> {
    let Some(value) = headers.get(position::CAUSE) else {
        return Ok(None);
    };
    let token = value.to_str().ok().and_then(PositionToken::decode);
    match token.and_then(|token| token.cause()) {
        Some(cause) => Ok(Some(cause)),
        None => Err(Problem::client(
            StatusCode::BAD_REQUEST,
            "cause_invalid",
            "Not a cause",
            "a cause is the token of one position",
        )),
    }
}

fn actor(headers: &HeaderMap) -> Result<Actor, Problem> {
    let Some(value) = headers.get(ACTOR) else {
        return Ok(Actor::anonymous());
    };
    let name = value
        .to_str()
        .map_err(|_| invalid_actor("a name is visible ASCII"))?;
    Actor::new(name).map_err(|error| invalid_actor(error.to_string()))
}

fn invalid_actor(detail: impl Into<String>) -> Problem {
    Problem::client(
        StatusCode::BAD_REQUEST,
        "actor_invalid",
        "Not the name of an actor",
        detail,
    )
}
