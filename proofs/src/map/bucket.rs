//! The streams whose keys begin with the same two bytes.

use thiserror::Error;

use super::entry::{Entry, Last};
use super::key::{BucketNumber, StreamKey};
use crate::Hash;

/// What begins the hash of a bucket.
const PREFIX: &[u8] = b"folio bucket v1";

/// One of the 65,536 parts of the map: its entries, in the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    number: BucketNumber,
    entries: Vec<Entry>,
}

/// Why entries are not those of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BucketError {
    /// An entry is another bucket's.
    #[error("the stream of key {key} belongs into bucket {}, not into {bucket}", key.bucket())]
    WrongBucket {
        /// Key of the stream.
        key: StreamKey,
        /// The bucket it was put into.
        bucket: BucketNumber,
    },
    /// Entries are out of order, or there are two of a stream.
    #[error(
        "bucket {bucket} has the stream of key {key} at the wrong place, or twice; take the bucket from elsewhere"
    )]
    Unsorted {
        /// Key of the stream.
        key: StreamKey,
        /// The bucket.
        bucket: BucketNumber,
    },
    /// An entry tells of no event that there can be.
    #[error(
        "the stream of key {key} cannot end at version {version}, position {position}: both count from 1, and no version is above its position"
    )]
    NoEvent {
        /// Key of the stream.
        key: StreamKey,
        /// Its version.
        version: i64,
        /// Its position.
        position: i64,
    },
    /// A stream would lose events, or get others in their place.
    #[error("the stream of key {key} ends at version {}, position {}; it cannot go from there to version {}, position {}: the history was changed",
        held.version, held.position, new.version, new.position)]
    GoesBack {
        /// Key of the stream.
        key: StreamKey,
        /// Where it ends.
        held: Last,
        /// Where it should have ended.
        new: Last,
    },
    /// The last entry is not whole.
    #[error(
        "bucket {bucket} has {bytes} bytes, which are not whole entries of {}; it was cut off",
        Entry::LENGTH
    )]
    HalfEntry {
        /// The bucket.
        bucket: BucketNumber,
        /// How many bytes there are.
        bytes: usize,
    },
}

impl Bucket {
    /// The bucket of this number with nothing in it.
    #[must_use]
    pub const fn empty(number: BucketNumber) -> Self {
        Self {
            number,
            entries: Vec::new(),
        }
    }

    /// The bucket of this number with these entries.
    ///
    /// # Errors
    ///
    /// [`BucketError`], unless all entries belong there and are in the order of their keys.
    pub fn of(number: BucketNumber, entries: Vec<Entry>) -> Result<Self, BucketError> {
        for entry in &entries {
            check(number, entry)?;
        }
        for (one, next) in entries.iter().zip(entries.iter().skip(1)) {
            if one.key >= next.key {
                return Err(BucketError::Unsorted {
                    key: next.key,
                    bucket: number,
                });
            }
        }
        Ok(Self { number, entries })
    }

    /// The bucket that was stored as these bytes.
    ///
    /// # Errors
    ///
    /// [`BucketError`], unless they are what [`to_bytes`](Self::to_bytes) writes.
    pub fn from_bytes(number: BucketNumber, bytes: &[u8]) -> Result<Self, BucketError> {
        let half = BucketError::HalfEntry {
            bucket: number,
            bytes: bytes.len(),
        };
        let (chunks, rest) = bytes.as_chunks();
        if !rest.is_empty() {
            return Err(half);
        }
        let entries: Option<_> = chunks.iter().map(Entry::from_bytes).collect();
        Self::of(number, entries.ok_or(half)?)
    }

    /// Its entries, one behind the other. Its number is not in them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.entries.len() * Entry::LENGTH);
        for entry in &self.entries {
            entry.write_to(&mut bytes);
        }
        bytes
    }

    /// Puts the end of a stream into it, in the place of an earlier one.
    ///
    /// # Errors
    ///
    /// [`BucketError`], also when the stream ends further on already. The bucket is then as it was.
    pub fn put(&mut self, entry: Entry) -> Result<(), BucketError> {
        check(self.number, &entry)?;
        let found = self
            .entries
            .binary_search_by_key(&entry.key, |held| held.key);
        let at = match found {
            Err(at) => {
                self.entries.insert(at, entry);
                return Ok(());
            }
            Ok(at) => at,
        };
        if let Some(held) = self.entries.get_mut(at) {
            if !entry.can_follow(held) {
                return Err(BucketError::GoesBack {
                    key: entry.key,
                    held: held.last(),
                    new: entry.last(),
                });
            }
            *held = entry;
        }
        Ok(())
    }

    /// Which bucket it is.
    #[must_use]
    pub const fn number(&self) -> BucketNumber {
        self.number
    }

    /// Its entries, in the order of their keys.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Where the stream of this key ends, if it is there.
    #[must_use]
    pub fn last_of(&self, key: &StreamKey) -> Option<Last> {
        let found = self.entries.binary_search_by_key(key, |entry| entry.key);
        self.entries.get(found.ok()?).map(Entry::last)
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> Hash {
        let count = (self.entries.len() as u64).to_be_bytes();
        Hash::of(&[PREFIX, &count, &self.to_bytes()])
    }
}

fn check(number: BucketNumber, entry: &Entry) -> Result<(), BucketError> {
    let key = entry.key;
    if key.bucket() != number {
        let bucket = number;
        return Err(BucketError::WrongBucket { key, bucket });
    }
    if !entry.is_of_an_event() {
        return Err(BucketError::NoEvent {
            key,
            version: entry.version,
            position: entry.position,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NUMBER: BucketNumber = BucketNumber::new(0x0102);

    fn entry(last_byte: u8, version: i64, position: i64) -> Entry {
        let mut key = [0; 32];
        (key[0], key[1], key[31]) = (1, 2, last_byte);
        let key = StreamKey::from_bytes(key);
        Entry {
            key,
            version,
            position,
        }
    }

    fn bucket(entries: &[Entry]) -> Bucket {
        let mut bucket = Bucket::empty(NUMBER);
        for &entry in entries {
            bucket.put(entry).unwrap();
        }
        bucket
    }

    #[test]
    fn an_empty_bucket_has_the_hash_that_is_documented() {
        assert_eq!(
            Bucket::empty(NUMBER).hash().to_string(),
            "le9Y2AR/FGz7CmVnMyWYT+dLKr8y7FOORjhFCmnJ4k4="
        );
    }

    #[test]
    fn a_stream_goes_on_and_never_back() {
        let mut bucket = bucket(&[entry(1, 3, 30), entry(2, 5, 50)]);
        bucket.put(entry(1, 3, 30)).unwrap();
        bucket.put(entry(1, 4, 31)).unwrap();
        let key = entry(1, 0, 0).key;
        let held = Last {
            version: 4,
            position: 31,
        };
        assert_eq!(bucket.last_of(&key), Some(held));
        let before = bucket.clone();
        for (version, position) in [
            (3, 31),
            (4, 30),
            (3, 30),
            (4, 32),
            (5, 31),
            (5, 30),
            (3, 40),
            (6, 32),
            (1, 1),
        ] {
            let refused = bucket.put(entry(1, version, position)).unwrap_err();
            let new = Last { version, position };
            assert_eq!(refused, BucketError::GoesBack { key, held, new });
            assert!(refused.to_string().contains(&key.to_string()));
        }
        assert_eq!(bucket, before);
    }

    #[test]
    fn what_is_no_event_or_another_bucket_s_is_not_put() {
        let mut bucket = bucket(&[]);
        for (version, position) in [(0, 1), (-1, 1), (1, 0), (2, 1), (i64::MIN, i64::MAX)] {
            let refused = bucket.put(entry(1, version, position)).unwrap_err();
            assert!(matches!(refused, BucketError::NoEvent { .. }), "{refused}");
        }
        let mut bytes = *entry(1, 1, 1).key.as_bytes();
        bytes[1] = 3;
        let other = Entry {
            key: StreamKey::from_bytes(bytes),
            ..entry(1, 1, 1)
        };
        let refused = bucket.put(other).unwrap_err();
        assert!(
            matches!(refused, BucketError::WrongBucket { .. }),
            "{refused}"
        );
        assert_eq!(bucket, Bucket::empty(NUMBER));
    }

    #[test]
    fn bytes_that_are_no_bucket_are_refused() {
        let bytes = bucket(&[entry(1, 1, 1), entry(2, 1, 2)]).to_bytes();
        let read = |bytes: &[u8]| Bucket::from_bytes(NUMBER, bytes);
        for length in (0..bytes.len()).filter(|length| length % Entry::LENGTH != 0) {
            let refused = read(&bytes[..length]).unwrap_err();
            assert!(matches!(refused, BucketError::HalfEntry { .. }));
        }
        let (one, two) = bytes.split_at(Entry::LENGTH);
        for unsorted in [[two, one].concat(), [one, one].concat()] {
            let refused = read(&unsorted).unwrap_err();
            assert!(matches!(refused, BucketError::Unsorted { .. }));
        }
        let refused = Bucket::from_bytes(BucketNumber::new(0), &bytes).unwrap_err();
        assert!(matches!(refused, BucketError::WrongBucket { .. }));
    }

    #[test]
    fn a_bit_that_flips_is_refused_or_changes_the_hash() {
        let whole = bucket(&[entry(1, 1, 1), entry(2, 7, 9), entry(200, 2, 3)]);
        let bytes = whole.to_bytes();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                let read = Bucket::from_bytes(NUMBER, &changed);
                assert!(
                    read.is_err() || read.is_ok_and(|read| read.hash() != whole.hash()),
                    "bit {bit} of byte {at}"
                );
            }
        }
        assert_ne!(bucket(&whole.entries()[1..]).hash(), whole.hash());
    }

    proptest! {
        #[test]
        fn the_order_of_putting_does_not_matter(
            ends in prop::collection::btree_map(any::<u8>(), (1..50_i64, 50..99_i64), 0..20),
        ) {
            let sorted: Vec<_> = ends.iter().map(|(&key, &(v, p))| entry(key, v, p)).collect();
            let mut reversed = sorted.clone();
            reversed.reverse();
            let bucket = bucket(&reversed);
            prop_assert_eq!(bucket.entries(), sorted.as_slice());
            prop_assert_eq!(Bucket::from_bytes(NUMBER, &bucket.to_bytes()), Ok(bucket));
        }
    }
}
