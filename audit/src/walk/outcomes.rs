//! Which outcome is which leaf. Their numbers have gaps, so it is told by their hashes.

use std::collections::HashMap;

use folio_proofs::Hash;

/// The rows of a seal beside its leaves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Aligned {
    /// For each leaf, which row it is, or is in its place.
    pub(crate) rows: Vec<Option<usize>>,
    /// The rows that are none of the leaves.
    pub(crate) extra: Vec<usize>,
}

/// Finds the leaves of these rows. Between two rows that are leaves, others stand for leaves that are not there.
pub(crate) fn align(leaves: &[Option<Hash>], rows: &[Hash]) -> Aligned {
    let all = leaves.iter().enumerate();
    let places: HashMap<Hash, usize> = all.filter_map(|(at, hash)| Some(((*hash)?, at))).collect();
    let mut aligned = Aligned {
        rows: vec![None; leaves.len()],
        extra: Vec::new(),
    };
    let (mut next, mut others) = (0, Vec::new());
    for (row, hash) in rows.iter().enumerate() {
        match places.get(hash) {
            Some(&at) if at >= next => {
                aligned.fill(next, at, &mut others);
                if let Some(place) = aligned.rows.get_mut(at) {
                    *place = Some(row);
                }
                next = at + 1;
            }
            Some(_) | None => others.push(row),
        }
    }
    aligned.fill(next, leaves.len(), &mut others);
    aligned
}

impl Aligned {
    fn fill(&mut self, begin: usize, end: usize, others: &mut Vec<usize>) {
        let mut places = self.rows.get_mut(begin..end).unwrap_or_default().iter_mut();
        for row in others.drain(..) {
            match places.next() {
                Some(place) => *place = Some(row),
                None => self.extra.push(row),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_their_hashes_and_others_take_the_places_between() {
        let hash = |byte: u8| Hash::from_bytes([byte; 32]);
        let leaves: Vec<_> = (1..=5).map(|one| Some(hash(one))).collect();
        for (rows, found, extra) in [
            (
                vec![1, 2, 3, 4, 5],
                vec![Some(0), Some(1), Some(2), Some(3), Some(4)],
                vec![],
            ),
            (
                vec![1, 3, 4, 5],
                vec![Some(0), None, Some(1), Some(2), Some(3)],
                vec![],
            ),
            (
                vec![1, 9, 3, 4, 5],
                vec![Some(0), Some(1), Some(2), Some(3), Some(4)],
                vec![],
            ),
            (
                vec![1, 2, 9, 3, 4, 5],
                vec![Some(0), Some(1), Some(3), Some(4), Some(5)],
                vec![2],
            ),
            (
                vec![2, 1, 3, 4, 5],
                vec![None, Some(0), Some(2), Some(3), Some(4)],
                vec![1],
            ),
            (vec![], vec![None; 5], vec![]),
        ] {
            let rows: Vec<_> = rows.into_iter().map(hash).collect();
            let expected = Aligned { rows: found, extra };
            assert_eq!(align(&leaves, &rows), expected);
        }
    }
}
