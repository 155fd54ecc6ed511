//! Who holds an account. Only here is what tells who it is in the clear: it is sealed before there is a command, and
//! opened as an answer is written.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use folio_core::{CommandContext, CommandId, EventStore, Outcome, Version};
use folio_erasure::{Kept, Personal, SubjectId, SubjectKey, VaultError};
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::Ledger;
use crate::account::{Account, AccountCommand, AccountEvent, AccountId, AccountRefusal, Holder};
use crate::http::command::{answer, execute};
use crate::http::idempotency::Caller;
use crate::http::input::{Body, ClientId as _, PathId};
use crate::http::problem::{Problem, ProblemBody};
use crate::http::routes;
use crate::http::times::time_text;

/// The names of what is sealed. They are part of the seal, so they never change.
const NAME: &str = "holder.name";
const ADDRESS: &str = "holder.address";
const EMAIL: &str = "holder.email";

/// Who holds an account. Its texts are recorded sealed, under a key of the subject's own.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HolderRequest {
    /// A pseudonym, which stays when the subject is forgotten: 1 to 64 letters, digits, `.`, `_` or `-`. Not a name, nor
    /// anything else that says who it is.
    #[schema(example = "c-4711")]
    subject: String,
    /// The name, 1 to 200 characters.
    #[schema(value_type = String, example = "Ada Lovelace")]
    name: Personal,
    /// Where to write to, 1 to 200 characters.
    #[schema(value_type = Option<String>)]
    address: Option<Personal>,
    /// The same, 1 to 200 characters.
    #[schema(value_type = Option<String>)]
    email: Option<Personal>,
}

/// Who holds an account.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountHolderBody {
    /// The account.
    account_id: String,
    /// How many events it has.
    version: i64,
    /// Who holds it.
    holder: HolderBody,
}

/// Who holds an account, where that can still be told.
#[derive(Debug, Serialize, ToSchema)]
pub struct HolderBody {
    /// The pseudonym.
    subject: String,
    /// Whether the subject was forgotten, and nothing else of it can be told any more.
    erased: bool,
    /// Since when, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    forgotten_at: Option<String>,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "reveal")]
    #[schema(value_type = Option<String>)]
    name: Option<Personal>,
    /// Where to write to.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "reveal")]
    #[schema(value_type = Option<String>)]
    address: Option<Personal>,
    /// The same.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "reveal")]
    #[schema(value_type = Option<String>)]
    email: Option<Personal>,
}

/// Names who holds an account. Who did before stays in its history, sealed.
#[utoipa::path(
    put, path = "/v1/accounts/{id}/holder", tag = "accounts",
    params(
        ("id" = String, Path, description = "the account"),
        ("Idempotency-Key" = String, Header, description = "names the request, so that repeating it has one effect"),
    ),
    request_body = HolderRequest,
    responses(
        (status = 200, description = "The holder is named", body = AccountHolderBody),
        (status = 404, description = "No such account", body = ProblemBody),
        (status = 409, description = "The account is closed, or the subject was forgotten", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn name(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
    caller: Caller,
    Body(request): Body<HolderRequest>,
) -> Result<Response, Problem> {
    id.check_chosen()?;
    let context = caller.context(routes::HOLDER);
    let holder = request.sealed(&ledger, &context).await?;
    let command = AccountCommand::NameHolder(holder);
    let done = execute(&ledger, &id, command, context).await?;
    let body = told(&ledger, &id, &done.account, done.version).await?;
    let status = StatusCode::OK;
    Ok(answer(&ledger, status, body, done.position, done.executed))
}

/// Who holds an account.
#[utoipa::path(
    get, path = "/v1/accounts/{id}/holder", tag = "accounts",
    params(("id" = String, Path, description = "the account")),
    responses(
        (status = 200, description = "Its holder, or that it was forgotten", body = AccountHolderBody),
        (status = 404, description = "No such account, or none whose holder was named", body = ProblemBody),
        (status = 422, description = "The request is wrong", body = ProblemBody),
    )
)]
pub(crate) async fn one(
    State(ledger): State<Arc<Ledger>>,
    PathId(id): PathId<AccountId>,
) -> Result<Json<AccountHolderBody>, Problem> {
    // What is recorded, and not what is on its way and may come to nothing.
    let all = ledger
        .executor
        .replay_until::<Account>(id.as_str(), |_| true)
        .await?;
    let (account, version) = all;
    let account = account.ok_or_else(Problem::account_not_found)?;
    Ok(Json(told(&ledger, &id, &account, version).await?))
}

impl HolderRequest {
    /// What is recorded of it by the command of this context.
    pub(crate) async fn sealed(
        &self,
        ledger: &Ledger,
        context: &CommandContext,
    ) -> Result<Holder, Problem> {
        let subject = SubjectId::parse_text(&self.subject)?;
        match ledger.vault.key_to_seal(&subject).await {
            Ok(key) => self.sealed_with(&key, subject, context.id),
            Err(VaultError::Forgotten { subject }) => recorded(ledger, context.id, subject).await,
            Err(error) => Err(error.into()),
        }
    }

    fn sealed_with(
        &self,
        key: &SubjectKey,
        subject: SubjectId,
        command: CommandId,
    ) -> Result<Holder, Problem> {
        let seal = |field, text: &Personal| key.seal(field, command, text);
        let seal_any = |field, text: &Option<Personal>| {
            let sealed = text.as_ref().map(|text| seal(field, text));
            sealed.transpose()
        };
        Ok(Holder {
            subject,
            name: seal(NAME, &self.name)?,
            address: seal_any(ADDRESS, &self.address)?,
            email: seal_any(EMAIL, &self.email)?,
        })
    }
}

/// The holder that this command has recorded before, when there was a key. A request that comes again after its subject
/// was forgotten gets the answer of the first one by it; its texts cannot be compared with the first ones any more, all
/// else of it is.
async fn recorded(
    ledger: &Ledger,
    command: CommandId,
    subject: SubjectId,
) -> Result<Holder, Problem> {
    let events = match ledger.store().outcome(command).await? {
        Some(Outcome::Committed(events)) => events,
        Some(Outcome::Refused(refusal)) => {
            let refusal: AccountRefusal =
                serde_json::from_slice(&refusal).map_err(|error| Problem::internal(&error))?;
            return Err(Problem::from(refusal).replayed());
        }
        Some(Outcome::Empty) | None => Vec::new(),
    };
    for event in &events {
        let decoded = event.decode::<AccountEvent>();
        for event in decoded.map_err(|error| Problem::internal(&error))? {
            if let Some(holder) = event.holder()
                && holder.subject == subject
            {
                return Ok(holder.clone());
            }
        }
    }
    Err(VaultError::Forgotten { subject }.into())
}

async fn told(
    ledger: &Ledger,
    id: &AccountId,
    account: &Account,
    version: Version,
) -> Result<AccountHolderBody, Problem> {
    let holder = account.holder().ok_or_else(Problem::holder_not_found)?;
    let holder = match ledger.vault.find(&holder.subject).await? {
        Kept::Key(key) => HolderBody::opened(holder, &key)?,
        Kept::Forgotten(forgotten) => HolderBody {
            subject: holder.subject.to_string(),
            erased: true,
            forgotten_at: Some(time_text(forgotten.at)),
            name: None,
            address: None,
            email: None,
        },
    };
    Ok(AccountHolderBody {
        account_id: id.to_string(),
        version: version.number(),
        holder,
    })
}

impl HolderBody {
    fn opened(holder: &Holder, key: &SubjectKey) -> Result<Self, Problem> {
        let open_any = |field, sealed: &Option<_>| {
            let opened = sealed.as_ref().map(|sealed| key.open(field, sealed));
            opened.transpose()
        };
        Ok(Self {
            subject: holder.subject.to_string(),
            erased: false,
            forgotten_at: None,
            name: Some(key.open(NAME, &holder.name)?),
            address: open_any(ADDRESS, &holder.address)?,
            email: open_any(EMAIL, &holder.email)?,
        })
    }
}

fn reveal<S: Serializer>(text: &Option<Personal>, serializer: S) -> Result<S::Ok, S::Error> {
    text.as_ref().map(Personal::reveal).serialize(serializer)
}
