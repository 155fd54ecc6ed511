//! What it means that rows and tiles differ, once it is known which of them were signed.

use std::collections::{BTreeMap, BTreeSet};

use folio_proofs::Hash;
use folio_proofs::leaf::EventLeaf;
use folio_proofs::merkle::TileId;

use super::finding::{Evidence, Finding};
use super::log::Difference;

/// Up to so many altered rows, each is compared with all places from which it may have come.
const COMPARED_MAX: usize = 64;

/// The rows are other ones than were sealed. Answers with the position that each finding belongs to.
pub(crate) fn altered_rows(
    differences: Vec<Difference>,
    evidence: Evidence,
) -> Vec<(i64, Finding)> {
    let moved = moved(&differences);
    let places: BTreeSet<i64> = moved.values().copied().collect();
    let (mut findings, mut tiles) = (Vec::new(), Vec::new());
    for difference in differences {
        let Some(row) = difference.row else { continue };
        if difference.sealed.is_none() {
            tiles.push(difference.leaf);
            continue;
        }
        let position = difference.position;
        let sealed_at = position.and_then(|position| moved.get(&position).copied());
        let finding = match sealed_at {
            Some(sealed_at) => Finding::Moved { row, sealed_at },
            // What was sealed here stands elsewhere.
            None if position.is_some_and(|one| places.contains(&one)) => Finding::Inserted { row },
            None => Finding::Altered { row, evidence },
        };
        findings.push((position.unwrap_or(i64::MAX), finding));
    }
    findings.extend(altered_tiles(tiles));
    findings
}

/// The tiles have other hashes of these leaves than were signed.
pub(crate) fn altered_tiles(leaves: impl IntoIterator<Item = u64>) -> Vec<(i64, Finding)> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for leaf in leaves {
        match runs.last_mut() {
            Some((first, last)) if tile_of(*first) == tile_of(leaf) && *last + 1 == leaf => {
                *last = leaf;
            }
            Some(_) | None => runs.push((leaf, leaf)),
        }
    }
    let told = runs.into_iter().map(|(first_leaf, last_leaf)| {
        let tile = tile_of(first_leaf).to_string();
        let finding = Finding::Tile {
            tile,
            first_leaf,
            last_leaf,
        };
        (i64::MAX, finding)
    });
    told.collect()
}

const fn tile_of(leaf: u64) -> TileId {
    TileId {
        level: 0,
        index: leaf / TileId::WIDTH as u64,
    }
}

/// The positions at which something stands that was sealed at another one, and which that is.
fn moved(differences: &[Difference]) -> BTreeMap<i64, i64> {
    let sealed = differences.iter();
    let sealed: BTreeMap<i64, Hash> = sealed
        .filter_map(|one| Some((one.position?, one.sealed?)))
        .collect();
    let mut moved = BTreeMap::new();
    // Rows that were moved together were moved equally far.
    let mut distance = 1;
    for difference in differences {
        let (Some(event), Some(position)) = (&difference.event, difference.position) else {
            continue;
        };
        let near = [distance, -1, 1].map(|by| position.saturating_add(by));
        let far = sealed
            .keys()
            .copied()
            .filter(|_| sealed.len() <= COMPARED_MAX);
        let is_from = |place: &i64| {
            let there = EventLeaf {
                position: *place,
                ..event.leaf()
            };
            sealed.get(place) == Some(&there.hash())
        };
        if let Some(place) = near.into_iter().chain(far).find(is_from) {
            distance = place.saturating_sub(position);
            moved.insert(position, place);
        }
    }
    moved
}
