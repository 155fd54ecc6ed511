//! A checkpoint together with those who have signed it.

use crate::checkpoint::{Checkpoint, OpenCheckpointError, Origin};
use crate::note::{SignedNote, VerifyingKey};

#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) checkpoint: Checkpoint,
    pub(crate) signers: Vec<VerifyingKey>,
}

/// What the note says, if a known key has signed it. Where nobody says which log it should be of, a key that is called as
/// the log has to be among those that have signed.
pub(crate) fn open(
    note: &SignedNote,
    keys: &[VerifyingKey],
    origin: Option<&Origin>,
) -> Result<Signed, OpenCheckpointError> {
    let verified = note.verify(keys)?;
    let checkpoint = Checkpoint::parse(verified.text())?;
    let named = || {
        verified
            .signers()
            .iter()
            .map(|key| Origin::from(key.name()))
    };
    let admitted = origin.map_or_else(|| named().collect(), |origin| vec![origin.clone()]);
    if !admitted.contains(&checkpoint.origin) {
        let actual = checkpoint.origin;
        let expected = admitted.into_iter().next();
        let expected = expected.unwrap_or_else(|| actual.clone());
        return Err(OpenCheckpointError::Origin { expected, actual });
    }
    let signers = verified.signers().iter().map(|&key| key.clone()).collect();
    Ok(Signed {
        checkpoint,
        signers,
    })
}
