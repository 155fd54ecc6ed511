//! Which instance a key meets: each has a weight for it, and the greatest has it.
//!
//! Whoever comes or goes moves only the keys that it gets or had. Everybody who knows the same instances finds the
//! same one.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use crate::discovery::InstanceId;

/// The weight of an instance for a key. By the standard library's hash, the same in every process of one build; where two
/// builds differ, keys meet elsewhere, which harms nobody.
pub(super) fn weight(instance: &InstanceId, key: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    instance.as_str().hash(&mut hasher);
    key.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best<'a>(instances: &'a [InstanceId], key: &str) -> &'a InstanceId {
        let weights = |id: &&InstanceId| weight(id, key.as_bytes());
        instances.iter().max_by_key(weights).unwrap()
    }

    #[test]
    fn whoever_goes_moves_only_its_own_keys() {
        let ids = ["a-1", "a-2", "a-3", "a-4"].map(|id| id.parse::<InstanceId>().unwrap());
        let mut moved = 0;
        for key in 0..10_000 {
            let key = format!("account-{key}");
            let (before, after) = (best(&ids, &key), best(&ids[..3], &key));
            if before == &ids[3] {
                moved += 1;
            } else {
                assert_eq!(before, after, "{key}");
            }
        }
        assert!((2_200..2_800).contains(&moved), "{moved} of 10,000");
    }
}
