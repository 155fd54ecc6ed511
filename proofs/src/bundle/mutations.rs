//! Bundles in which one thing was changed, by whoever does not have the key.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::Value;

use super::testing::Log;
use super::{Bundle, BundledEvent};
use crate::checkpoint::Checkpoint;
use crate::note::{SignedNote, VerifyingKey};

static SCENE: LazyLock<Scene> = LazyLock::new(Scene::new);

/// A good bundle, and what a forger has at hand beside it.
struct Scene {
    bundle: Bundle,
    json: Value,
    /// Where each kind of field is in the JSON.
    fields: Vec<Vec<String>>,
    keys: Vec<VerifyingKey>,
    kept: Checkpoint,
    /// Events of another stream, which are in the log.
    others: Vec<BundledEvent>,
    /// Checkpoints of the log at other times, and of another log.
    checkpoints: Vec<SignedNote>,
    other_keys: Vec<VerifyingKey>,
}

#[derive(Debug, Clone)]
enum Mutation {
    Field {
        kind: Index,
        which: Index,
        edit: Edit,
    },
    Remove(Index),
    Repeat {
        event: Index,
        at: Index,
    },
    Swap(Index, Index),
    Truncate(Index),
    Insert {
        other: Index,
        at: Index,
    },
    Replace {
        other: Index,
        at: Index,
    },
    Checkpoint(Index),
    Key,
}

#[derive(Debug, Clone)]
struct Edit {
    how: Index,
    at: Index,
    character: char,
    number: i64,
}

impl Scene {
    fn new() -> Self {
        let streams = ["ada", "bob", "-", "ada", "ada", "cyd", "-", "bob"];
        let mut log = Log::with(&streams);
        let mut checkpoints = vec![log.bundle("ada").checkpoint];
        let kept = log.seal();
        for _ in 0..4 {
            log.extend(&streams);
        }
        let mut bundle = log.bundle("ada");
        bundle.growth = Some(log.growth_from(&kept));
        let (keys, others) = (log.keys(), log.bundle("bob").events);
        log.extend(&["ada"]);
        checkpoints.push(log.bundle("ada").checkpoint);
        let mut other = Log::new("ledger.example/b", 9);
        other.extend(&streams.repeat(5));
        checkpoints.push(other.bundle("ada").checkpoint);
        let json = serde_json::to_value(&bundle).unwrap();
        let mut fields = BTreeMap::new();
        collect(&json, String::new(), String::new(), &mut fields);
        Self {
            bundle,
            json,
            fields: fields.into_values().collect(),
            keys,
            kept,
            others,
            checkpoints,
            other_keys: other.keys(),
        }
    }

    /// The bundle as it was changed; none if its JSON is that of no bundle.
    fn mutated(&self, mutation: &Mutation) -> Option<Bundle> {
        let mut bundle = self.bundle.clone();
        let count = bundle.events.len();
        match mutation {
            Mutation::Field { kind, which, edit } => {
                let mut json = self.json.clone();
                let pointer = which.get(kind.get(self.fields.as_slice()).as_slice());
                edit.apply(json.pointer_mut(pointer).unwrap());
                return serde_json::from_value(json).ok();
            }
            Mutation::Remove(at) => {
                bundle.events.remove(at.index(count));
            }
            Mutation::Repeat { event, at } => {
                let event = event.get(&bundle.events).clone();
                bundle.events.insert(at.index(count + 1), event);
            }
            Mutation::Swap(one, two) => bundle.events.swap(one.index(count), two.index(count)),
            Mutation::Truncate(length) => bundle.events.truncate(length.index(count)),
            Mutation::Insert { other, at } => {
                let other = other.get(&self.others).clone();
                bundle.events.insert(at.index(count + 1), other);
            }
            Mutation::Replace { other, at } => {
                let other = other.get(&self.others).clone();
                *at.get_mut(&mut bundle.events) = other;
            }
            Mutation::Checkpoint(which) => {
                bundle.checkpoint = which.get(&self.checkpoints).clone();
            }
            Mutation::Key => {}
        }
        Some(bundle)
    }
}

/// The pointers to all values in it, by what kind of field they are.
fn collect(json: &Value, at: String, kind: String, fields: &mut BTreeMap<String, Vec<String>>) {
    match json {
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                collect(value, format!("{at}/{index}"), format!("{kind}/*"), fields);
            }
        }
        Value::Object(values) => {
            for (name, value) in values {
                collect(
                    value,
                    format!("{at}/{name}"),
                    format!("{kind}/{name}"),
                    fields,
                );
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    fields.entry(kind).or_default().push(at);
}

impl Edit {
    fn apply(&self, json: &mut Value) {
        match json {
            Value::Null => *json = self.number.into(),
            Value::Bool(value) => *value = !*value,
            Value::Number(number) => {
                let number = number.as_i64().unwrap();
                let numbers = [number + 1, number - 1, number ^ self.number, self.number];
                *json = (*self.how.get(&numbers)).into();
            }
            Value::String(text) => self.apply_to_text(text),
            Value::Array(values) => self.apply_to_array(values),
            Value::Object(values) => {
                let name = self
                    .at
                    .get(&values.keys().cloned().collect::<Vec<_>>())
                    .clone();
                match self.how.index(3) {
                    0 => drop(values.remove(&name)),
                    1 => drop(values.insert(name, Value::Null)),
                    _ => drop(values.insert(format!("{name}{}", self.character), 1.into())),
                }
            }
        }
    }

    fn apply_to_text(&self, text: &mut String) {
        let mut characters: Vec<char> = text.chars().collect();
        let at = self.at.index(characters.len() + 1);
        let is_inside = at < characters.len();
        match self.how.index(4) {
            0 if is_inside => drop(characters.remove(at)),
            1 => characters.insert(at, self.character),
            2 => characters.truncate(at),
            _ if is_inside => characters[at] = self.character,
            _ => characters.push(self.character),
        }
        *text = characters.into_iter().collect();
    }

    fn apply_to_array(&self, values: &mut Vec<Value>) {
        if values.is_empty() {
            return values.push(Value::Null);
        }
        let at = self.at.index(values.len());
        match self.how.index(4) {
            0 => drop(values.remove(at)),
            1 => values.insert(at, values[at].clone()),
            2 => values.truncate(at),
            _ => values.swap(0, at),
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let number = prop_oneof![-2_i64..100, any::<i64>()];
    (any::<Index>(), any::<Index>(), "[A-Za-z0-9+/= \n-]", number).prop_map(
        |(how, at, character, number)| Edit {
            how,
            at,
            character: character.chars().next().unwrap(),
            number,
        },
    )
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let two = || any::<(Index, Index)>();
    prop_oneof![
        20 => (two(), edit()).prop_map(|((kind, which), edit)| Mutation::Field { kind, which, edit }),
        1 => any::<Index>().prop_map(Mutation::Remove),
        1 => two().prop_map(|(event, at)| Mutation::Repeat { event, at }),
        1 => two().prop_map(|(one, two)| Mutation::Swap(one, two)),
        1 => any::<Index>().prop_map(Mutation::Truncate),
        1 => two().prop_map(|(other, at)| Mutation::Insert { other, at }),
        1 => two().prop_map(|(other, at)| Mutation::Replace { other, at }),
        1 => any::<Index>().prop_map(Mutation::Checkpoint),
        1 => Just(Mutation::Key),
    ]
}

#[test]
fn the_bundle_that_was_not_changed_is_verified() {
    let scene = &*SCENE;
    let bundle: Bundle = serde_json::from_value(scene.json.clone()).unwrap();
    assert_eq!(bundle, scene.bundle);
    assert_eq!(
        bundle
            .verify(&scene.keys, None, Some(&scene.kept))
            .unwrap()
            .events,
        15
    );
    // Among them are columns with and without a value.
    assert!(scene.fields.len() > 30, "{:?}", scene.fields);
}

#[test]
fn no_field_can_be_left_out() {
    let scene = &*SCENE;
    for pointer in scene
        .fields
        .iter()
        .flatten()
        .filter(|pointer| !pointer.is_empty())
    {
        let mut json = scene.json.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let parent = json.pointer_mut(parent).unwrap();
        if let Some(values) = parent.as_object_mut() {
            values.remove(name);
        } else {
            let at: usize = name.parse().unwrap();
            parent.as_array_mut().unwrap().remove(at);
        }
        let Ok(bundle) = serde_json::from_value::<Bundle>(json) else {
            continue;
        };
        // What is left out and was null is read as the same.
        let verified = bundle.verify(&scene.keys, None, Some(&scene.kept));
        assert!(bundle == scene.bundle || verified.is_err(), "{pointer}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_096))]

    #[test]
    fn a_bundle_in_which_anything_was_changed_is_refused(mutation in mutation()) {
        let scene = &*SCENE;
        let of_others = matches!(mutation, Mutation::Key);
        let keys = if of_others { &scene.other_keys } else { &scene.keys };
        if let Some(bundle) = scene.mutated(&mutation) {
            prop_assume!(of_others || bundle != scene.bundle);
            prop_assert!(bundle.verify(keys, None, Some(&scene.kept)).is_err());
        }
    }
}
