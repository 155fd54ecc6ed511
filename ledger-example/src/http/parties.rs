//! Who is on the other side of a payment. A person's name is sealed here, before there is an order, and opened as an
//! answer is written or the outside is asked.

use folio_core::CommandId;
use folio_erasure::{CipherError, Kept, Personal, SubjectId, Vault, VaultError};
use folio_runtime::Participants;
use thiserror::Error;

use crate::account::{BoundedText, InvalidPosting};
use crate::http::input::{ClientId as _, required_text};
use crate::http::problem::Problem;
use crate::http::sagas::{self, Told};
use crate::payment::party::{self, WithParty};
use crate::payment::{Party, PaymentId};
use crate::transfer::service::Driver;

/// A party as a request names it.
pub(crate) struct Named {
    /// The field that it is in.
    pub(crate) field: &'static str,
    /// The name.
    pub(crate) name: String,
    /// The pseudonym of a person, by which it can be forgotten.
    pub(crate) subject: Option<String>,
}

/// What there is of a party's name.
pub(crate) enum Opened<'a> {
    /// The name, in the clear.
    Name(BoundedText<64>),
    /// Its subject was forgotten.
    Forgotten(&'a SubjectId),
}

/// A party as an answer shows it.
pub(crate) struct Shown {
    pub(crate) name: Option<String>,
    pub(crate) subject: Option<String>,
    pub(crate) erased: bool,
}

/// Why the name of a party is not known, though its subject was not forgotten.
#[derive(Debug, Error)]
pub(crate) enum PartyError {
    #[error(transparent)]
    Vault(#[from] VaultError),
    #[error(transparent)]
    Cipher(#[from] CipherError),
    #[error("what was sealed is no name of a party")]
    Name(#[from] InvalidPosting),
}

impl Named {
    /// What is recorded of it by the order of this id.
    pub(crate) async fn sealed<S, P>(
        self,
        vault: &Vault,
        driver: &Driver<S, P>,
        id: &PaymentId,
    ) -> Result<Party, Problem>
    where
        S: Told<Order: WithParty>,
        P: Participants<S>,
    {
        let name = required_text(self.name, self.field)?;
        let Some(subject) = self.subject else {
            return Ok(Party::Clear(name));
        };
        let subject = SubjectId::parse_text(&subject)?;
        let name = Personal::try_from(String::from(name)).map_err(|error| {
            Problem::unprocessable("invalid_text", "Not a usable text", error.to_string())
        })?;
        match vault.key_to_seal(&subject).await {
            Ok(key) => {
                let order = CommandId::derived(&[S::CATEGORY, id.as_str()]);
                Ok(Party::sealed(&key, subject, order, &name)?)
            }
            Err(VaultError::Forgotten { subject }) => recorded(driver, id, subject).await,
            Err(error) => Err(error.into()),
        }
    }
}

/// The party of the order on record, where it is of a subject that was forgotten since: an order that comes again is the
/// same one. Its name cannot be compared with the first one any more, all else of it is.
async fn recorded<S, P>(
    driver: &Driver<S, P>,
    id: &PaymentId,
    subject: SubjectId,
) -> Result<Party, Problem>
where
    S: Told<Order: WithParty>,
    P: Participants<S>,
{
    let saga = driver.look(id.as_str()).await;
    let saga = saga.map_err(sagas::problem::<S>)?;
    match saga.map(|saga| saga.order.party().clone()) {
        Some(party) if party.subject() == Some(&subject) => Ok(party),
        _ => Err(VaultError::Forgotten { subject }.into()),
    }
}

/// The party of an order that has it from another one, sealed as it is: but nothing more is recorded about a subject that
/// was forgotten.
pub(crate) async fn carried_over<S, P>(
    vault: &Vault,
    driver: &Driver<S, P>,
    id: &PaymentId,
    party: Party,
) -> Result<Party, Problem>
where
    S: Told<Order: WithParty>,
    P: Participants<S>,
{
    let Some(subject) = party.subject() else {
        return Ok(party);
    };
    match vault.find(subject).await? {
        Kept::Key(_) => Ok(party),
        Kept::Forgotten(_) => recorded(driver, id, subject.clone()).await,
    }
}

/// What there is of a party's name now.
pub(crate) async fn opened<'a>(vault: &Vault, party: &'a Party) -> Result<Opened<'a>, PartyError> {
    let (subject, name) = match party {
        Party::Clear(name) => return Ok(Opened::Name(name.clone())),
        Party::Person { subject, name } => (subject, name),
    };
    match vault.find(subject).await? {
        Kept::Key(key) => {
            let name = party::open(&key, name)?;
            Ok(Opened::Name(name.reveal().to_owned().try_into()?))
        }
        Kept::Forgotten(_) => Ok(Opened::Forgotten(subject)),
    }
}

impl Shown {
    pub(crate) async fn of(vault: &Vault, party: &Party) -> Result<Self, PartyError> {
        let (name, erased) = match opened(vault, party).await? {
            Opened::Name(name) => (Some(name.into()), false),
            Opened::Forgotten(_) => (None, true),
        };
        Ok(Self {
            name,
            subject: party.subject().map(SubjectId::to_string),
            erased,
        })
    }
}

impl From<PartyError> for Problem {
    fn from(error: PartyError) -> Self {
        match error {
            PartyError::Vault(error) => error.into(),
            PartyError::Cipher(error) => error.into(),
            PartyError::Name(_) => Self::internal(&error),
        }
    }
}
