//! What a command came to, when it did its work.

/// What a command came to, when it did its work. A program makes an exit code of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Finding {
    /// All is well.
    Clean,
    /// What it found is not well, or not what was asked for.
    NotWell,
}

impl Finding {
    /// That all is well, if it is.
    pub const fn clean_if(is_well: bool) -> Self {
        if is_well { Self::Clean } else { Self::NotWell }
    }
}
