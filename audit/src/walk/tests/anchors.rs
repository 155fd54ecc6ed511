//! Anchors that have less than they must.

use super::super::Finding;
use super::super::ends::Upkeep;
use super::held::{Chance, Held};

const MINUTE: i64 = 60_000_000;
const LONG_AFTER: i64 = 100 * MINUTE;

fn sealed() -> Held {
    Held::random(&mut Chance::new(9), 100, 5).0
}

#[test]
fn an_anchor_that_has_nothing_is_named() {
    let mut held = sealed();
    held.anchor.clear();
    let last = held.size_of(held.checkpoints.len() - 1);
    let anchor = "the anchor".to_owned();
    let expected = [Finding::AnchorEmpty { anchor, last }];
    for upkeep in [Upkeep::Live, Upkeep::Copy] {
        let (findings, report) = held.walk_beside(upkeep, LONG_AFTER);
        assert_eq!(findings, expected);
        assert_eq!((report.found, report.anchored_leaves), (1, 0));
        // What was sealed first may be on its way there.
        let (findings, report) = held.walk_beside(upkeep, MINUTE);
        assert_eq!((findings, report.anchored_leaves), (Vec::new(), 0));
    }
    // As long as nothing was sealed, there is nothing that it could have.
    assert_eq!(Held::default().walk().0, []);
}

#[test]
fn an_anchor_that_only_has_a_beginning_is_named_unless_it_is_a_copy() {
    let whole = sealed();
    let last = whole.size_of(whole.checkpoints.len() - 1);
    for kept in [1, 3, whole.checkpoints.len() - 1] {
        let mut held = whole.clone();
        held.anchor.truncate(kept);
        let size = held.size_of(kept - 1);
        let (findings, report) = held.walk();
        let anchor = "the anchor".to_owned();
        assert_eq!(findings, [Finding::AnchorBehind { anchor, size, last }]);
        assert_eq!(report.anchored_leaves, size);
        let (findings, report) = held.walk_beside(Upkeep::Copy, LONG_AFTER);
        assert_eq!((findings, report.anchored_leaves), (Vec::new(), size));
    }
}

#[test]
fn an_anchor_may_lack_what_was_sealed_within_the_last_minute() {
    let mut held = sealed();
    held.anchor.truncate(3);
    // The fourth seal was at 3.
    assert_eq!(held.walk_beside(Upkeep::Live, MINUTE + 3).0, []);
    assert_eq!(held.walk_beside(Upkeep::Live, MINUTE + 4).0.len(), 1);
}

#[test]
fn an_anchor_that_begins_late_or_was_away_between_lacks_nothing() {
    let mut held = sealed();
    held.anchor.drain(5..9);
    held.anchor.drain(..3);
    let (findings, report) = held.walk();
    assert_eq!(findings, []);
    assert_eq!(report.anchored_leaves, report.leaves);
}
