//! What an app gives to a command.

use std::fmt;
use std::io::Write;

use folio_core::Actor;
use folio_projections::Projection;
use tokio::sync::watch;

use crate::error::OperatorError;
use crate::format::answer;

/// What an app gives to a command.
pub struct Desk<'a> {
    /// The projections of the app.
    pub projections: &'a [Projection],
    /// Who is at it. What is done is recorded under this name.
    pub by: Actor,
    /// Ends what takes its time when it becomes true, or its sender is gone.
    pub stop: watch::Receiver<bool>,
    /// Takes the answers, all of them or, as a pipe that is closed, what is wanted of them. Progress is shown on standard error, where
    /// that is a terminal.
    pub out: &'a mut (dyn Write + Send),
}

impl Desk<'_> {
    /// The projection of this name.
    pub(crate) fn find(&self, name: &str) -> Result<Projection, OperatorError> {
        let found = self.projections.iter().find(|one| one.name().name == name);
        found.cloned().ok_or_else(|| OperatorError::NoProjection {
            name: name.to_owned(),
            known: self.projections.iter().map(|one| one.name().name).collect(),
        })
    }

    /// The projection of this name, or all of them.
    pub(crate) fn chosen(&self, name: Option<&str>) -> Result<Vec<Projection>, OperatorError> {
        match name {
            Some(name) => Ok(vec![self.find(name)?]),
            None => Ok(self.projections.to_vec()),
        }
    }

    /// Writes a line.
    pub(crate) fn say(&mut self, line: impl fmt::Display) -> Result<(), OperatorError> {
        Ok(answer(self.out, &format!("{line}\n"))?)
    }
}

impl fmt::Debug for Desk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk")
            .field("projections", &self.projections)
            .field("by", &self.by)
            .finish_non_exhaustive()
    }
}
