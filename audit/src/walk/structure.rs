//! What holds between an event and those before it, sealed or not.

use std::mem;

use folio_proofs::leaf::EventLeaf;

use super::finding::StructureFault;

/// What the events so far say of the next one.
#[derive(Debug)]
pub(crate) struct Structure {
    recorded_at_micros: i64,
    command: Command,
}

/// Where the command of the last event stands. Its events stand side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    /// Its first event was not seen.
    Unknown,
    /// All of its events were seen.
    Complete,
    /// So many of its events are still to come.
    Open { id: [u8; 16], missing: i32 },
}

impl Structure {
    /// That of a store without events.
    pub(crate) const fn new() -> Self {
        Self {
            recorded_at_micros: i64::MIN,
            command: Command::Complete,
        }
    }

    /// Takes in the next event, and tells what does not fit.
    pub(crate) fn event(&mut self, leaf: &EventLeaf<'_>, mut tell: impl FnMut(StructureFault)) {
        let micros = leaf.recorded_at_micros;
        let before_micros = mem::replace(&mut self.recorded_at_micros, micros);
        if micros < before_micros {
            tell(StructureFault::RecordedEarlier {
                micros,
                before_micros,
            });
        }
        if leaf.command_events.is_some() != leaf.fingerprint.is_some() {
            tell(StructureFault::HalfFirst);
        }
        self.command = match (self.command, leaf.command_events) {
            (Command::Open { id, missing }, None) if id == leaf.command_id => {
                Command::with(id, missing.saturating_sub(1))
            }
            (Command::Open { missing, .. }, first) => {
                tell(StructureFault::CommandCutOff { missing });
                first.map_or(Command::Unknown, |count| Command::begun(leaf, count))
            }
            (Command::Complete, None) => {
                tell(StructureFault::NoCommand);
                Command::Complete
            }
            (Command::Unknown, None) => Command::Unknown,
            (Command::Complete | Command::Unknown, Some(count)) => Command::begun(leaf, count),
        };
    }

    /// Events are missing here, so nobody knows what the next one follows.
    pub(crate) const fn gap(&mut self) {
        self.command = Command::Unknown;
    }

    /// There are no more events. Answers with how many the last command lacks.
    pub(crate) const fn missing_at_end(&self) -> Option<i32> {
        match self.command {
            Command::Open { missing, .. } => Some(missing),
            Command::Unknown | Command::Complete => None,
        }
    }
}

impl Command {
    const fn begun(leaf: &EventLeaf<'_>, count: i32) -> Self {
        Self::with(leaf.command_id, count.saturating_sub(1))
    }

    const fn with(id: [u8; 16], missing: i32) -> Self {
        if missing > 0 {
            Self::Open { id, missing }
        } else {
            Self::Complete
        }
    }
}
