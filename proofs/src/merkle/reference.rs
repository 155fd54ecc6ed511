//! The tree as RFC 9162 defines it, by recursion over all leaves, and the leaves and roots that were published.

use super::head::{Size, TreeHead};
use super::tile::{Tile, Tiles};
use super::tile_id::TileId;
use crate::Hash;

/// The roots over the first 0, 1 … 8 of the leaves of the Certificate Transparency project's tests.
pub(super) const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Those leaves.
pub(super) fn published_leaves() -> Vec<Hash> {
    let leaves = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    leaves
        .iter()
        .map(|leaf| Hash::of(&[&[0], &bytes(leaf)]))
        .collect()
}

/// The hash with this text in hexadecimal.
pub(super) fn hash(text: &str) -> Hash {
    Hash::from_slice(&bytes(text)).unwrap()
}

/// The hash with one bit changed.
pub(super) fn flipped(hash: Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8] ^= 1 << (bit % 8);
    Hash::from_bytes(bytes)
}

/// Leaves that all differ.
pub(super) fn leaves(count: u64) -> Vec<Hash> {
    let leaf = |number: u64| Hash::of(&[&[0], &number.to_be_bytes()]);
    (0..count).map(leaf).collect()
}

/// MTH of section 2.1.1.
pub(super) fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of(&[]),
        [leaf] => *leaf,
        leaves => {
            let (left, right) = leaves.split_at(split(leaves.len()));
            Hash::of(&[&[1], root(left).as_bytes(), root(right).as_bytes()])
        }
    }
}

/// The head of a log of these leaves.
pub(super) fn head(leaves: &[Hash]) -> TreeHead {
    TreeHead {
        size: Size::new(leaves.len() as u64),
        root: root(leaves),
    }
}

/// PATH of section 2.1.3.1.
pub(super) fn inclusion_path(index: usize, leaves: &[Hash]) -> Vec<Hash> {
    if leaves.len() == 1 {
        return Vec::new();
    }
    let (left, right) = leaves.split_at(split(leaves.len()));
    let (mut path, beside) = match index.checked_sub(left.len()) {
        None => (inclusion_path(index, left), right),
        Some(index) => (inclusion_path(index, right), left),
    };
    path.push(root(beside));
    path
}

/// PROOF of section 2.1.4.1, which leaves out sizes of 0.
pub(super) fn consistency_path(from: usize, leaves: &[Hash]) -> Vec<Hash> {
    match from {
        0 => Vec::new(),
        from => subproof(from, leaves, 0),
    }
}

/// SUBPROOF there, of leaves that begin with this one of the log: the flag of the RFC is that they begin with the first.
fn subproof(from: usize, leaves: &[Hash], begin: usize) -> Vec<Hash> {
    if from == leaves.len() {
        return match begin {
            0 => Vec::new(),
            _ => vec![root(leaves)],
        };
    }
    let middle = split(leaves.len());
    let (left, right) = leaves.split_at(middle);
    let (mut path, beside) = if from <= middle {
        (subproof(from, left, begin), right)
    } else {
        (subproof(from - middle, right, begin + middle), left)
    };
    path.push(root(beside));
    path
}

/// All tiles of a log, by what tlog-tiles says is in them.
pub(super) fn tiles(leaves: &[Hash]) -> Tiles {
    let mut tiles = Tiles::new();
    for level in 0..3 {
        let hashes: Vec<_> = leaves
            .chunks_exact(256_usize.pow(level))
            .map(root)
            .collect();
        let level = u8::try_from(level).unwrap();
        for (index, hashes) in (0..).zip(hashes.chunks(256)) {
            tiles.insert(Tile::new(TileId { level, index }, hashes.to_vec()));
        }
    }
    tiles
}

/// These of the tiles.
pub(super) fn only(tiles: &Tiles, ids: &[TileId]) -> Tiles {
    let tile = |id: &TileId| Some(Tile::new(*id, tiles.hashes(*id)?.to_vec()));
    ids.iter().filter_map(tile).collect()
}

fn split(count: usize) -> usize {
    let mut split = 1;
    while split * 2 < count {
        split *= 2;
    }
    split
}

fn bytes(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn the_recursion_gives_the_published_roots() {
    let leaves = published_leaves();
    for (size, published) in ROOTS.iter().enumerate() {
        assert_eq!(root(&leaves[..size]), hash(published), "{size}");
    }
}
