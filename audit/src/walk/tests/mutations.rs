//! Every single change is found, and where it was is said.

use std::thread;

use super::super::{Evidence, Finding};
use super::held::{Chance, Held};
use super::mutation::{KINDS, Named, mutate, names};

/// How many changes are tried, each on a store of its own.
const MUTATIONS: u64 = 10_080;
const THREADS: u64 = 2;

#[test]
fn every_single_change_is_found_and_its_place_is_named() {
    let mut chance = Chance::new(3);
    let mut stores: Vec<_> = (0..18).map(|_| Held::random(&mut chance, 40, 6)).collect();
    stores.extend((0..2).map(|_| Held::random(&mut chance, 600, 60)));
    stores.retain(|(held, earlier)| !held.outcomes.is_empty() && !earlier.is_empty());
    assert!(stores.len() > 15);
    let missed: Vec<String> = thread::scope(|scope| {
        let share = |thread| {
            let stores = &stores;
            scope.spawn(move || missed(stores, thread))
        };
        let shares: Vec<_> = (0..THREADS).map(share).collect();
        let missed = shares.into_iter().map(|share| share.join().unwrap());
        missed.flatten().collect()
    });
    assert!(
        missed.is_empty(),
        "{} missed, as {:#?}",
        missed.len(),
        &missed[..3.min(missed.len())]
    );
}

/// What was not found of a thread's share.
fn missed(stores: &[(Held, Vec<Held>)], thread: u64) -> Vec<String> {
    let mut missed = Vec::new();
    for number in (thread..MUTATIONS).step_by(usize::try_from(THREADS).unwrap()) {
        let mut chance = Chance::new(number);
        let (held, earlier) = &stores[chance.index(stores.len())];
        let mut held = held.clone();
        let kind = number / THREADS % KINDS;
        let named = mutate(&mut held, earlier, kind, &mut chance);
        let (findings, _) = held.walk();
        if !findings.iter().any(|finding| is_found(finding, named)) {
            missed.push(format!(
                "kind {kind}, number {number}: {named:?} in {findings:?}"
            ));
        }
    }
    missed
}

/// Where another key has signed, there is nothing to say but that.
fn is_found(finding: &Finding, named: Named) -> bool {
    let is_by_another_key =
        matches!(finding, Finding::Forged { why, .. } if why.contains("no known key"));
    names(finding, named) || is_by_another_key
}

#[test]
fn the_first_finding_is_at_the_row_that_was_altered() {
    let mut chance = Chance::new(4);
    let (held, earlier) = Held::random(&mut chance, 60, 20);
    for kind in 0..400 {
        let mut held = held.clone();
        let named = mutate(&mut held, &earlier, kind % 9, &mut chance);
        let (findings, _) = held.walk();
        assert!(names(&findings[0], named), "{named:?} in {findings:?}");
    }
}

/// Only the roots tell: without them this would be clean.
#[test]
fn a_row_that_was_changed_with_its_tile_is_told_by_the_root_alone() {
    let mut chance = Chance::new(5);
    let (held, earlier) = Held::random(&mut chance, 1_000, 200);
    for _ in 0..40 {
        let mut held = held.clone();
        let named = mutate(&mut held, &earlier, 21, &mut chance);
        let (findings, _) = held.walk();
        assert_eq!(findings.len(), 1, "{named:?}: {findings:?}");
        assert!(matches!(findings[0], Finding::Rewritten { .. }));
        assert!(names(&findings[0], named), "{named:?}: {findings:?}");
    }
}

#[test]
fn it_is_said_which_of_row_and_tile_was_altered() {
    let mut chance = Chance::new(6);
    let (clean, _) = Held::random(&mut chance, 300, 30);
    let mut held = clean.clone();
    held.events[20].payload.push(b' ');
    let (findings, _) = held.walk();
    let [Finding::Altered { evidence, .. }] = &findings[..] else {
        panic!("{findings:?}");
    };
    assert_eq!(*evidence, Evidence::Signed);

    let mut held = clean;
    let tile = held.tiles.values_mut().next().unwrap();
    tile[21] = folio_proofs::Hash::of(&[]);
    let (findings, _) = held.walk();
    let [
        Finding::Tile {
            tile,
            first_leaf,
            last_leaf,
        },
    ] = &findings[..]
    else {
        panic!("{findings:?}");
    };
    assert_eq!(
        (tile.as_str(), *first_leaf, *last_leaf),
        ("tile/0/000", 21, 21)
    );
}

#[test]
fn an_event_that_was_put_in_between_is_told_from_those_that_it_has_moved() {
    let mut chance = Chance::new(7);
    let (mut held, _) = Held::random(&mut chance, 60, 500);
    let mut event = held.events[9].clone();
    event.event_id = uuid::Uuid::from_bytes(chance.bytes());
    held.events[9..]
        .iter_mut()
        .for_each(|event| event.position += 1);
    held.events.insert(9, event);
    let (findings, _) = held.walk();
    assert!(
        matches!(findings[0], Finding::Inserted { .. }),
        "{findings:?}"
    );
    assert!(names(&findings[0], Named::Position(10)), "{findings:?}");
    for place in 10..20 {
        let moved =
            |one: &Finding| matches!(one, Finding::Moved { sealed_at, .. } if *sealed_at == place);
        let found = findings.iter().find(|one| moved(one)).unwrap();
        assert!(names(found, Named::Position(place + 1)), "{found:?}");
    }
}

/// A bundle up to one of these would show that a stream ends before it does.
#[test]
fn a_false_map_is_told_of_each_checkpoint_that_has_it() {
    let (clean, _) = Held::random(&mut Chance::new(8), 300, 10);
    let last = clean.checkpoints.len() - 1;
    for at in [0, 1, last / 2, last] {
        let mut held = clean.clone();
        held.sign_false_map(at);
        held.sign_false_map(last / 2 + 1);
        let mut expected = vec![at, last / 2 + 1];
        expected.sort_unstable();
        let expected = expected.into_iter().map(|at| held.size_of(at));
        assert_eq!(false_maps(&held), expected.collect::<Vec<_>>());
        assert_eq!(held.walk().0.len(), 2, "and nothing else");
    }
}

/// Where an event is another one, so may all maps be behind it, and one of them says enough.
#[test]
fn a_false_map_is_told_behind_an_altered_event_and_not_because_of_it() {
    let (mut held, _) = Held::random(&mut Chance::new(8), 300, 10);
    held.events[40].payload.push(b' ');
    let at = held.checkpoints.len() - 2;
    held.sign_false_map(at);
    assert_eq!(false_maps(&held), [held.size_of(at)]);
    assert_eq!(held.walk().0.len(), 2, "the event and the map");

    let (mut held, _) = Held::random(&mut Chance::new(8), 300, 10);
    held.events[40].stream_id = "another".to_owned();
    let last = held.checkpoints.len() - 1;
    assert_eq!(false_maps(&held), [held.size_of(last)]);
}

/// The sizes of the checkpoints whose maps are told to be false.
fn false_maps(held: &Held) -> Vec<u64> {
    let sizes = held.walk().0.into_iter().filter_map(|finding| {
        if let Finding::Map { size, .. } = finding {
            Some(size)
        } else {
            None
        }
    });
    sizes.collect()
}
