//! The aggregate: a garage with so many spaces, and the cars that stand on them.

use std::collections::BTreeSet;

use folio_core::{Aggregate, Event};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What may be asked of a garage.
#[derive(Debug, Clone, Serialize)]
pub enum GarageCommand {
    OpenGarage { spaces: u32 },
    LetIn { plate: String },
    LetOut { plate: String },
}

/// What can have happened to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum GarageEvent {
    GarageOpened { spaces: u32 },
    CarEntered { plate: String },
    CarLeft { plate: String },
}

impl Event for GarageEvent {}

/// Why a command was refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Error)]
pub enum GarageRefusal {
    #[error("there is no such garage")]
    NotThere,
    #[error("the garage is open already")]
    OpenAlready,
    #[error("all {spaces} spaces are taken")]
    Full { spaces: u32 },
    #[error("car {plate} is inside already")]
    Inside { plate: String },
    #[error("car {plate} is not inside")]
    NotInside { plate: String },
}

/// A garage that was opened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Garage {
    pub spaces: u32,
    /// The plates of the cars.
    pub inside: BTreeSet<String>,
}

impl Aggregate for Garage {
    const CATEGORY: &'static str = "garage";
    type Command = GarageCommand;
    type Event = GarageEvent;
    type Refusal = GarageRefusal;

    fn decide(
        state: Option<&Self>,
        command: GarageCommand,
    ) -> Result<Vec<GarageEvent>, GarageRefusal> {
        let event = match (state, command) {
            (None, GarageCommand::OpenGarage { spaces }) => GarageEvent::GarageOpened { spaces },
            (None, _) => return Err(GarageRefusal::NotThere),
            (Some(_), GarageCommand::OpenGarage { .. }) => return Err(GarageRefusal::OpenAlready),
            (Some(garage), GarageCommand::LetIn { plate }) => {
                let spaces = garage.spaces;
                if garage.inside.contains(&plate) {
                    return Err(GarageRefusal::Inside { plate });
                }
                if garage.inside.len() >= spaces as usize {
                    return Err(GarageRefusal::Full { spaces });
                }
                GarageEvent::CarEntered { plate }
            }
            (Some(garage), GarageCommand::LetOut { plate }) => {
                if !garage.inside.contains(&plate) {
                    return Err(GarageRefusal::NotInside { plate });
                }
                GarageEvent::CarLeft { plate }
            }
        };
        Ok(vec![event])
    }

    fn evolve(state: Option<Self>, event: &GarageEvent) -> Option<Self> {
        match (state, event) {
            (_, GarageEvent::GarageOpened { spaces }) => Some(Self {
                spaces: *spaces,
                inside: BTreeSet::new(),
            }),
            (Some(mut garage), GarageEvent::CarEntered { plate }) => {
                garage.inside.insert(plate.clone());
                Some(garage)
            }
            (Some(mut garage), GarageEvent::CarLeft { plate }) => {
                garage.inside.remove(plate);
                Some(garage)
            }
            (None, GarageEvent::CarEntered { .. } | GarageEvent::CarLeft { .. }) => None,
        }
    }

    // The executor keeps states in memory, within a bound; this one owns more than itself.
    fn weight(&self) -> usize {
        let plates: usize = self.inside.iter().map(|plate| plate.len() + 48).sum();
        size_of::<Self>() + plates
    }
}
