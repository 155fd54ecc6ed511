//! One change to a store or to its log, and what a walk has to say of it.

use std::collections::BTreeMap;

use folio_proofs::Hash;
use folio_proofs::merkle::TileId;
use uuid::Uuid;

use super::super::ends::opened;
use super::super::{Finding, Range, RowAt};
use super::held::{Chance, Held, key, log};
use crate::rows::StoredEvent;

/// What has to be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// The position of an event.
    Position(i64),
    /// The number of an outcome.
    Outcome(i64),
    /// A tile.
    Tile,
    /// A bucket.
    Bucket,
    /// A checkpoint, by its leaves.
    Checkpoint(i64),
}

pub(super) const KINDS: u64 = 26;

/// Changes a sealed store, and answers with what has to be named.
pub(super) fn mutate(held: &mut Held, earlier: &[Held], kind: u64, chance: &mut Chance) -> Named {
    let at = chance.index(held.events.len());
    let position = held.events[at].position;
    let outcome = chance.index(held.outcomes.len());
    let number = held.outcomes[outcome].number;
    match kind {
        // Each column of an event, those that may have none twice as often.
        0..=8 => {
            alter_event(&mut held.events[at], chance);
            Named::Position(position)
        }
        9..=11 => {
            alter_outcome(held, outcome, chance);
            // Where it is still the first, it is named as it is now.
            let first = held.outcomes[0].number;
            Named::Outcome(if outcome == 0 { first } else { number })
        }
        // Missing.
        12 => {
            held.events.remove(at);
            Named::Position(position)
        }
        13 => {
            held.outcomes.remove(outcome);
            Named::Outcome(number)
        }
        // At another position, where there is none.
        14 => {
            let mut event = held.events.remove(at);
            let past = i64::try_from(chance.below(1_000)).unwrap();
            let head = i64::try_from(held.events.len()).unwrap() + 1;
            event.position = if past % 2 == 0 { -past } else { head + past };
            held.events.push(event);
            held.events.sort_by_key(|event| event.position);
            Named::Position(position)
        }
        // Inserted, with and without those behind it moved on.
        15 | 16 => {
            let mut event = held.events[at].clone();
            event.event_id = Uuid::from_bytes(chance.bytes());
            if kind == 15 {
                shift(&mut held.events[at..]);
            }
            held.events.insert(at, event);
            Named::Position(position)
        }
        // Duplicated under a new position.
        17 => {
            let mut event = held.events[at].clone();
            event.position = i64::try_from(held.events.len()).unwrap() + 1;
            let named = event.position;
            held.events.push(event);
            Named::Position(named)
        }
        // Swapped.
        18 => {
            let other = chance.index(held.events.len());
            if other == at {
                return mutate(held, earlier, 12, chance);
            }
            let there = held.events[other].position;
            held.events.swap(at, other);
            held.events[at].position = position;
            held.events[other].position = there;
            Named::Position(position.min(there))
        }
        // Cut off, the rows alone or all that was made since a seal.
        19 => {
            held.events.truncate(at);
            Named::Position(position)
        }
        20 => {
            let anchor = held.anchor.clone();
            *held = earlier[chance.index(earlier.len())].clone();
            held.anchor = anchor;
            let (size, events, ..) = held.last();
            // A seal may be of outcomes alone.
            let is_longer = |one: &&folio_proofs::note::SignedNote| size_of(one) > size;
            assert!(held.anchor.iter().any(|one| is_longer(&one)));
            Named::Checkpoint(events)
        }
        // Changed with its tile.
        21 => {
            held.events[at].payload = b"{}".to_vec();
            let hash = held.events[at].leaf().hash();
            let leaf = leaf_of(held, position);
            *tile_hash(held, leaf) = hash;
            Named::Position(position)
        }
        // Made anew, with another key or with the same.
        22 => {
            held.events[at].payload = b"{}".to_vec();
            let other = chance.below(2) == 0;
            *held = held.sealed_anew(&key(if other { 8 } else { 7 }));
            Named::Position(position)
        }
        // Inserted, and those behind it moved on.
        23 => {
            let mut inserted = held.outcomes[outcome].clone();
            inserted.command_id = Uuid::from_bytes(chance.bytes());
            let behind = &mut held.outcomes[outcome..];
            behind.iter_mut().for_each(|outcome| outcome.number += 1);
            held.outcomes.insert(outcome, inserted);
            Named::Outcome(number)
        }
        // Swapped.
        24 => {
            let other = chance.index(held.outcomes.len());
            if other == outcome {
                return mutate(held, earlier, 13, chance);
            }
            let there = held.outcomes[other].number;
            held.outcomes.swap(outcome, other);
            held.outcomes[outcome].number = number;
            held.outcomes[other].number = there;
            Named::Outcome(number.min(there))
        }
        _ => alter_log(held, chance),
    }
}

/// Whether a finding names it.
pub(super) fn names(finding: &Finding, named: Named) -> bool {
    let holds = |range: &Range, number| (range.first..=range.last).contains(&number);
    match (finding, named) {
        (
            Finding::Altered { row, .. }
            | Finding::Moved { row, .. }
            | Finding::Inserted { row }
            | Finding::Structure { row, .. },
            _,
        ) => match row {
            RowAt::Event { position, .. } => named == Named::Position(*position),
            RowAt::Outcome { number, .. } => named == Named::Outcome(*number),
        },
        (Finding::Missing { first, last }, Named::Position(one)) => (*first..=*last).contains(&one),
        (Finding::Truncated { last, sealed }, Named::Position(one)) => {
            *last + 1 == one && one <= *sealed
        }
        (Finding::MissingOutcomes { after, .. }, Named::Outcome(one)) => *after < one,
        (Finding::Rewritten { positions, .. }, Named::Position(one)) => {
            positions.is_some_and(|range| holds(&range, one))
        }
        (
            Finding::Forked {
                agreed, position, ..
            }
            | Finding::NotInLog {
                agreed, position, ..
            },
            Named::Position(one),
        ) => (*agreed + 1..=*position).contains(&one),
        (Finding::NotInLog { agreed, .. }, Named::Checkpoint(one)) => *agreed == one,
        (Finding::Forged { size, .. }, Named::Checkpoint(one)) => *size == one,
        (Finding::Columns { .. }, Named::Checkpoint(_)) => true,
        (Finding::Tile { .. }, Named::Tile) | (Finding::Bucket { .. }, Named::Bucket) => true,
        _ => false,
    }
}

fn size_of(note: &folio_proofs::note::SignedNote) -> i64 {
    note.to_string().lines().nth(1).unwrap().parse().unwrap()
}

fn shift(events: &mut [StoredEvent]) {
    events.iter_mut().for_each(|event| event.position += 1);
}

fn alter_event(event: &mut StoredEvent, chance: &mut Chance) {
    let other = i64::try_from(chance.below(1 << 40)).unwrap() + 1;
    let flip = |bytes: &mut Vec<u8>, chance: &mut Chance| {
        let at = chance.index(bytes.len());
        bytes[at] ^= 1 << chance.below(7);
    };
    match chance.below(14) {
        0 => event.version += if other % 2 == 0 { other } else { -other },
        1 => event.recorded_at_micros += if other % 2 == 0 { other } else { -other },
        2 => event.event_id = Uuid::from_bytes(chance.bytes()),
        3 => event.command_id = Uuid::from_bytes(chance.bytes()),
        4 | 5 => {
            let count = i32::try_from(chance.below(9)).unwrap() + 1;
            event.command_events = match event.command_events {
                Some(_) if chance.below(2) == 0 => None,
                Some(held) => Some(held + count),
                None => Some(count),
            };
        }
        6 => event.schema_version += 1,
        7 => event.category = "accounts".to_owned(),
        8 => event.stream_id.push('0'),
        9 => event.event_type.push('!'),
        10 | 11 => match &mut event.fingerprint {
            Some(_) if chance.below(2) == 0 => event.fingerprint = None,
            Some(bytes) => flip(bytes, chance),
            None => event.fingerprint = Some(chance.bytes::<32>().to_vec()),
        },
        12 => flip(&mut event.payload, chance),
        _ => flip(&mut event.metadata, chance),
    }
}

fn alter_outcome(held: &mut Held, at: usize, chance: &mut Chance) {
    let outcome = &mut held.outcomes[at];
    match chance.below(6) {
        0 => outcome.command_id = Uuid::from_bytes(chance.bytes()),
        1 => outcome.recorded_at_micros += 1,
        2 => outcome.fingerprint = chance.bytes::<32>().to_vec(),
        3 => {
            outcome.refusal = match outcome.refusal {
                Some(_) => None,
                None => Some(b"{}".to_vec()),
            };
        }
        4 => outcome.metadata.push(b' '),
        _ => {
            // To where there is none.
            let far = if chance.below(2) == 0 || at == 0 {
                -1_000_000
            } else {
                1_000_000
            };
            outcome.number += far;
            held.outcomes.sort_by_key(|outcome| outcome.number);
        }
    }
}

/// Changes something beside the rows.
fn alter_log(held: &mut Held, chance: &mut Chance) -> Named {
    let tiles: Vec<TileId> = held.tiles.keys().copied().collect();
    let tile = tiles[chance.index(tiles.len())];
    let numbers: Vec<_> = held.buckets.keys().copied().collect();
    let number = numbers[chance.index(numbers.len())];
    let at = chance.index(held.checkpoints.len());
    let (size, ..) = held.checkpoints[at].columns;
    match chance.below(8) {
        0 | 1 => {
            let hashes = held.tiles.get_mut(&tile).unwrap();
            let at = chance.index(hashes.len());
            hashes[at] = Hash::from_bytes(chance.bytes());
            Named::Tile
        }
        2 => {
            held.tiles.remove(&tile);
            Named::Tile
        }
        3 => {
            held.buckets.insert(number, Some(Hash::of(&[])));
            Named::Bucket
        }
        4 => {
            held.buckets.remove(&number);
            Named::Bucket
        }
        5 => {
            let kept = &mut held.checkpoints[at];
            kept.note = kept.note.replace("folio-through ", "folio-through 1");
            kept.opened = opened(&kept.note, &log());
            Named::Checkpoint(size)
        }
        6 => {
            let (leaves, events, outcomes, sealed_at) = &mut held.checkpoints[at].columns;
            let columns = [leaves, events, outcomes, sealed_at];
            let column = chance.index(columns.len());
            *columns.into_iter().nth(column).unwrap() += 1;
            Named::Checkpoint(size)
        }
        _ => {
            // The first one behind the last on which both agree.
            let before = at.checked_sub(1).map(|at| held.checkpoints[at].columns);
            held.checkpoints.remove(at);
            let (_, events, ..) = before.unwrap_or_default();
            Named::Checkpoint(events)
        }
    }
}

/// Which leaf the event at this position is.
fn leaf_of(held: &Held, position: i64) -> u64 {
    let ends: BTreeMap<i64, i64> = held
        .checkpoints
        .iter()
        .map(|kept| (kept.columns.1, kept.columns.0))
        .collect();
    let before = ends.range(..position).next_back();
    let behind = before.map_or(0, |(events, size)| size - events);
    u64::try_from(behind + position - 1).unwrap()
}

fn tile_hash(held: &mut Held, leaf: u64) -> &mut Hash {
    let id = TileId {
        level: 0,
        index: leaf / 256,
    };
    let place = usize::try_from(leaf % 256).unwrap();
    held.tiles.get_mut(&id).unwrap().get_mut(place).unwrap()
}
