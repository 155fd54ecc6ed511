//! Stores that nobody has changed.

use super::held::{Chance, Held, key};

#[test]
fn nothing_is_found_in_what_nobody_has_changed() {
    let mut chance = Chance::new(1);
    let mut rows = 0;
    for (size, batch) in [
        (0, 1),
        (1, 1),
        (40, 3),
        (300, 1),
        (700, 40),
        (2_000, 300),
        (20_000, 900),
    ] {
        let (mut held, _) = Held::random(&mut chance, size, batch);
        let (findings, report) = held.walk();
        assert_eq!(findings, []);
        assert_eq!(report.found, 0);
        assert_eq!(report.events, held.events.len() as u64);
        assert_eq!(
            report.leaves,
            (held.events.len() + held.outcomes.len()) as u64
        );
        assert_eq!((report.unsealed_events, report.unsealed_outcomes), (0, 0));
        rows += report.leaves;

        let (events, outcomes) = (held.events.len(), held.outcomes.len());
        for _ in 0..20 {
            held.append(&mut chance);
        }
        let (findings, report) = held.walk();
        assert_eq!(findings, []);
        let unsealed = (held.events.len() - events) as u64;
        assert_eq!(report.unsealed_events, unsealed);
        assert_eq!(
            report.unsealed_outcomes,
            (held.outcomes.len() - outcomes) as u64
        );
    }
    assert!(rows > 20_000);
}

#[test]
fn a_seal_without_new_leaves_and_one_of_an_empty_store_are_as_they_must_be() {
    let mut held = Held::default();
    held.seal(&key(7));
    assert_eq!(held.walk().0, []);
    held.append(&mut Chance::new(5));
    held.seal(&key(7));
    assert_eq!(held.walk().0, []);
}

#[test]
fn what_two_sealers_have_anchored_in_the_other_order_is_known() {
    let (mut held, _) = Held::random(&mut Chance::new(2), 40, 5);
    held.anchor.swap(2, 3);
    assert_eq!(held.walk().0, []);
}
