//! Ranges of positions: what the projector was given of one is recorded together.

use folio_core::Position;

/// How many positions a range has. Few enough that what is wrong in one is soon found, and so many that
/// the record of a million events has some hundred rows.
const SIZE: i64 = 4_096;

/// A range of positions, by its number from 0: 1 to 4096, 4097 to 8192 and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Range(i64);

impl Range {
    /// The range that has `position`.
    pub(crate) const fn of(position: Position) -> Self {
        Self(position.number().saturating_sub(1).div_euclid(SIZE))
    }

    /// The range that the database knows by this number.
    pub(crate) const fn numbered(number: i64) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> i64 {
        self.0
    }

    pub(crate) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Its first position.
    pub(crate) const fn first(self) -> Position {
        Position::START.plus(self.0.saturating_mul(SIZE).saturating_add(1))
    }

    /// Its last position.
    pub(crate) const fn last(self) -> Position {
        Position::START.plus(self.next().0.saturating_mul(SIZE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_each_position_once() {
        let of = |position| Range::of(Position::new(position).unwrap()).number();
        assert_eq!([1, 4_096, 4_097, 8_192, 8_193].map(of), [0, 0, 1, 1, 2]);
        let (first, second) = (Range::numbered(0), Range::numbered(0).next());
        assert_eq!((first.first().number(), first.last().number()), (1, 4_096));
        assert_eq!(second.first(), first.last().plus(1));
    }
}
