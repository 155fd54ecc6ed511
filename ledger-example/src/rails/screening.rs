//! The fraud screen: says of a payment whether it may go on, and says the same ever after.

use folio_core::{Aggregate, Amount, Event};
use serde::{Deserialize, Serialize};

use crate::account::BoundedText;
use crate::rails::UsedOtherwise;

/// Names of payees that begin so are declined.
const BLOCKED: &str = "blocked";

/// What is to be screened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScreeningRequest {
    /// Who pays.
    pub payer: BoundedText<64>,
    /// Who is paid.
    pub payee: BoundedText<64>,
    /// How much.
    pub amount: Amount,
}

/// What the screen says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may go on.
    Accept,
    /// It looks like fraud.
    Decline,
}

/// A screening that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screening {
    /// What was screened.
    pub request: ScreeningRequest,
    /// What came of it.
    pub decision: Decision,
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScreeningCommand {
    /// To screen a payment.
    Screen(ScreeningRequest),
}

/// What has happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScreeningEvent {
    /// A payment was screened.
    Screened {
        /// What was asked.
        request: ScreeningRequest,
        /// What was said.
        decision: Decision,
    },
}

impl Event for ScreeningEvent {}

impl Aggregate for Screening {
    const CATEGORY: &'static str = "screening";
    type Command = ScreeningCommand;
    type Event = ScreeningEvent;
    type Refusal = UsedOtherwise;

    fn decide(
        state: Option<&Self>,
        command: ScreeningCommand,
    ) -> Result<Vec<ScreeningEvent>, UsedOtherwise> {
        let ScreeningCommand::Screen(request) = command;
        match state {
            Some(made) if made.request == request => Ok(Vec::new()),
            Some(_) => Err(UsedOtherwise),
            None => {
                let decision = if String::from(request.payee.clone()).starts_with(BLOCKED) {
                    Decision::Decline
                } else {
                    Decision::Accept
                };
                Ok(vec![ScreeningEvent::Screened { request, decision }])
            }
        }
    }

    fn evolve(_: Option<Self>, event: &ScreeningEvent) -> Option<Self> {
        let ScreeningEvent::Screened { request, decision } = event.clone();
        Some(Self { request, decision })
    }
}

#[cfg(test)]
mod tests {
    use folio_core::Currency;
    use folio_core::testing::given;

    use super::*;

    fn request(payee: &str, amount: &str) -> ScreeningRequest {
        let text = |text: &str| BoundedText::try_from(text.to_owned()).unwrap();
        ScreeningRequest {
            payer: text("alice"),
            payee: text(payee),
            amount: Amount::parse(amount, Currency::from_code("EUR").unwrap()).unwrap(),
        }
    }

    #[test]
    fn what_was_said_is_said_again_and_of_nothing_else() {
        for (payee, decision) in [
            ("bob", Decision::Accept),
            ("blocked-bob", Decision::Decline),
        ] {
            let asked = request(payee, "1.00");
            let screened = ScreeningEvent::Screened {
                request: asked.clone(),
                decision,
            };
            given::<Screening>([])
                .when(ScreeningCommand::Screen(asked.clone()))
                .then([screened.clone()]);
            given::<Screening>([screened.clone()])
                .when(ScreeningCommand::Screen(asked))
                .then([]);
            given::<Screening>([screened])
                .when(ScreeningCommand::Screen(request(payee, "1.01")))
                .then_refused(UsedOtherwise);
        }
    }
}
