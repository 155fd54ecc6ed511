//! Who is shown next: what the database says, but not that all are gone.

use std::collections::BTreeMap;

use super::answer::Answer;
use crate::discovery::{Instance, Status};

/// Who is shown next, by their ids.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next {
    pub(super) instances: Vec<Instance>,
    /// How many of them the database does not know.
    pub(super) kept: usize,
}

/// Who is shown after these. Whoever is listed is, and whoever has left or was about to is not. The others have vanished
/// without a word: `may_vanish` of them go, those with the first ids, so that all watchers forget the same ones.
pub(super) fn next(shown: &[Instance], answer: Answer, may_vanish: usize) -> Next {
    let Answer {
        mut listed, left, ..
    } = answer;
    let known = |instance: &Instance| {
        listed.contains_key(&instance.id)
            || left.contains(&instance.id)
            || instance.status == Status::Draining
    };
    let vanished = shown.iter().filter(|instance| !known(instance));
    let kept: BTreeMap<_, _> = vanished
        .skip(may_vanish)
        .map(|instance| (instance.id.clone(), instance.clone()))
        .collect();
    let kept_count = kept.len();
    listed.extend(kept);
    Next {
        instances: listed.into_values().collect(),
        kept: kept_count,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::SocketAddr;

    use super::*;
    use crate::discovery::Incarnation;

    fn instance(id: &str, incarnation: i64, status: Status) -> Instance {
        Instance {
            service: "accounts".parse().unwrap(),
            id: id.parse().unwrap(),
            incarnation: Incarnation::new(incarnation),
            address: SocketAddr::from(([127, 0, 0, 1], 80)),
            status,
        }
    }

    fn serving(ids: &[&str]) -> Vec<Instance> {
        let serving = |id: &&str| instance(id, 1, Status::Serving);
        ids.iter().map(serving).collect()
    }

    fn answer(listed: Vec<Instance>, left: &[&str]) -> Answer {
        let left: BTreeSet<_> = left.iter().map(|id| id.parse().unwrap()).collect();
        let listed = listed.into_iter().map(|it| (it.id.clone(), it));
        Answer {
            listed: listed.collect(),
            left,
            ..Answer::default()
        }
    }

    #[test]
    fn whoever_is_listed_is_shown_as_it_is_listed() {
        let listed = vec![
            instance("a", 2, Status::Draining),
            instance("c", 3, Status::Serving),
        ];
        let next = next(&serving(&["a"]), answer(listed.clone(), &[]), 0);
        assert_eq!((next.instances, next.kept), (listed, 0));
    }

    #[test]
    fn whoever_has_left_is_gone_at_once_however_many() {
        let ids = ["a", "b", "c", "d"];
        let next = next(&serving(&ids), answer(Vec::new(), &ids), 0);
        assert_eq!((next.instances, next.kept), (Vec::new(), 0));
    }

    #[test]
    fn whoever_was_about_to_leave_and_is_not_there_has_left() {
        let shown = [
            instance("a", 1, Status::Draining),
            instance("b", 1, Status::Serving),
        ];
        let next = next(&shown, answer(Vec::new(), &[]), 0);
        assert_eq!((next.instances, next.kept), (serving(&["b"]), 1));
    }

    #[test]
    fn of_those_that_vanish_no_more_go_than_may() {
        let shown = serving(&["a", "b", "c", "d", "e", "f"]);
        let next = next(&shown, answer(serving(&["d"]), &["e"]), 2);
        assert_eq!((next.instances, next.kept), (serving(&["c", "d", "f"]), 2));
    }

    #[test]
    fn who_comes_is_shown_beside_those_that_are_kept() {
        let next = next(&serving(&["b"]), answer(serving(&["a", "c"]), &[]), 0);
        assert_eq!((next.instances, next.kept), (serving(&["a", "b", "c"]), 1));
    }
}
