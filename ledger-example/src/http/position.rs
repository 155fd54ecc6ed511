//! The token in which a write tells where it stands, and a read asks for it.

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use folio_core::{Cause, Position, StoreId};
use uuid::Uuid;

use crate::http::problem::Problem;

/// The header that carries the token of a write or of a model.
pub const HEADER: &str = "folio-position";

/// The header in which another service says which event in its store a command is for: a token of one position.
pub const CAUSE: &str = "folio-cause";

/// First byte of a token: the version of its form.
const FORM: u8 = 1;
/// A store's id and a position in it.
const PAIR_BYTES: usize = 24;
/// Most stores that one token may speak of.
const PAIRS_MAX: usize = 64;

/// Positions in one or several stores. Opaque to clients: base64url of a version byte and, for
/// each store, its 16 bytes of id and 8 of position, big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionToken(Vec<(StoreId, Position)>);

impl PositionToken {
    /// The token of one position.
    #[must_use]
    pub fn of(store_id: StoreId, position: Position) -> Self {
        Self(vec![(store_id, position)])
    }

    /// The token of positions in several stores; none without any, or with more than a token holds.
    #[must_use]
    pub fn of_all(pairs: Vec<(StoreId, Position)>) -> Option<Self> {
        (1..=PAIRS_MAX)
            .contains(&pairs.len())
            .then_some(Self(pairs))
    }

    /// All positions that it speaks of.
    #[must_use]
    pub fn pairs(&self) -> &[(StoreId, Position)] {
        &self.0
    }

    /// The event that it speaks of, where it speaks of one.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match *self.0 {
            [(store_id, position)] => Some(Cause { store_id, position }),
            _ => None,
        }
    }

    /// The position in a store, if the token speaks of it.
    #[must_use]
    pub fn position_in(&self, store_id: StoreId) -> Option<Position> {
        self.0
            .iter()
            .find(|(store, _)| *store == store_id)
            .map(|(_, position)| *position)
    }

    /// Its text.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut bytes = vec![FORM];
        for (store, position) in &self.0 {
            bytes.extend_from_slice(store.as_uuid().as_bytes());
            bytes.extend_from_slice(&position.number().to_be_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The token that a text is; none when it is not one.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (form, pairs) = bytes.split_first()?;
        let is_whole = !pairs.is_empty()
            && pairs.len().is_multiple_of(PAIR_BYTES)
            && pairs.len() / PAIR_BYTES <= PAIRS_MAX;
        if *form != FORM || !is_whole {
            return None;
        }
        pairs
            .chunks_exact(PAIR_BYTES)
            .map(|pair| {
                let (store, position) = pair.split_at_checked(16)?;
                let position = i64::from_be_bytes(position.try_into().ok()?);
                Some((
                    StoreId::from_uuid(Uuid::from_slice(store).ok()?),
                    Position::new(position)?,
                ))
            })
            .collect::<Option<Vec<_>>>()
            .map(Self)
    }

    /// The token that a query parameter is.
    pub(crate) fn parse(text: &str) -> Result<Self, Problem> {
        Self::decode(text).ok_or_else(|| {
            Problem::unprocessable(
                "invalid_position",
                "Not a position token",
                "pass the value of a Folio-Position header unchanged",
            )
        })
    }

    /// Puts it into the headers of a response.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        if let Ok(value) = HeaderValue::from_str(&self.encode()) {
            headers.insert(HEADER, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(number: u128) -> StoreId {
        StoreId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_token_comes_back_as_it_was() {
        let token = PositionToken(vec![
            (store(1), Position::START.plus(7)),
            (store(2), Position::START),
        ]);
        let back = PositionToken::decode(&token.encode()).unwrap();
        assert_eq!(back, token);
        assert_eq!(back.position_in(store(1)), Position::new(7));
        assert_eq!(back.position_in(store(3)), None);
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = PositionToken::of(store(1), Position::START).encode();
        let cut = good.get(..good.len() - 2).unwrap();
        for text in ["", "AQ", "!!", cut, "7", &format!("{good}AAAA")] {
            assert_eq!(PositionToken::decode(text), None, "{text}");
        }
        let negative = [vec![FORM], vec![0; 16], vec![0xff; 8]].concat();
        assert_eq!(
            PositionToken::decode(&URL_SAFE_NO_PAD.encode(negative)),
            None
        );
    }
}
