//! The tree over the log: against the definition, against the published examples, and against what others wrote.

use std::ops::{ControlFlow, Range};

use daybook_ledger::merkle::proof::{self, ProofError, check_consistency, check_inclusion};
use daybook_ledger::merkle::{Hash, TreeError};
use daybook_ledger::{Append, IndexKind, Ledger, TilePath, Tiled};
use sha2::Sha256;

use crate::common::{open, record};
use crate::sim::Random;

/// RFC 6962's definition, word for word.
fn defined(entries: &[Vec<u8>]) -> Hash {
    match entries.len() {
        0 => Hash::empty(),
        1 => Hash::leaf(&entries[0]),
        count => {
            let mut middle = 1;
            while middle * 2 < count {
                middle *= 2;
            }
            Hash::node(&defined(&entries[..middle]), &defined(&entries[middle..]))
        }
    }
}

fn of(entries: &[Vec<u8>], range: Range<u64>) -> Hash {
    let at = |place| usize::try_from(place).expect("small");
    defined(&entries[at(range.start)..at(range.end)])
}

fn some(count: u64) -> Vec<Vec<u8>> {
    (0..count).map(|number| format!("entry number {number}").into_bytes()).collect()
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2)
        .map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).expect("hexadecimal"))
        .collect()
}

fn hash(text: &str) -> Hash {
    Hash(hex(text).try_into().expect("32 bytes"))
}

#[test]
fn every_entry_of_every_small_tree_is_proven_as_defined() {
    let entries = some(600);
    let mut random = Random(1);
    for size in 0..=600 {
        let root = of(&entries, 0..size);
        assert_eq!(proof::inclusion(size, size), Err(ProofError::Beyond { index: size, size }));
        // All of the small ones, and of the others those near the ends and some between.
        let step = if size < 70 { 1 } else { 1 + random.below(40) };
        let mut index = 0;
        while index < size {
            let ranges = proof::inclusion(index, size).expect("it is in the tree");
            let mut path: Vec<Hash> = ranges.into_iter().map(|range| of(&entries, range)).collect();
            let leaf = of(&entries, index..index + 1);
            assert_eq!(check_inclusion(&leaf, index, size, &path, &root), Ok(()), "{index} of {size}");
            assert!(check_inclusion(&leaf, size, size, &path, &root).is_err());
            if index + 1 < size {
                let elsewhere = check_inclusion(&leaf, index + 1, size, &path, &root);
                assert!(elsewhere.is_err(), "{index} of {size} passes for the next");
                let changed = usize::try_from(random.below(path.len() as u64)).expect("small");
                path[changed].0[7] ^= 1;
                let refused = check_inclusion(&leaf, index, size, &path, &root);
                assert!(matches!(refused, Err(ProofError::Root { .. })), "{index} of {size}: {refused:?}");
                path.pop();
                let refused = check_inclusion(&leaf, index, size, &path, &root);
                assert!(matches!(refused, Err(ProofError::Length { .. })), "{index} of {size}: {refused:?}");
            }
            index += step;
        }
    }
}

#[test]
fn every_small_tree_is_shown_to_begin_with_every_smaller_one() {
    const MOST: u64 = 600;
    let entries = some(MOST);
    let roots: Vec<Hash> = (0..=MOST).map(|size| of(&entries, 0..size)).collect();
    // Whole subtrees of the definition, so that a hundred and eighty thousand proofs need not hash each anew.
    let mut whole = std::collections::HashMap::new();
    let mut part =
        |range: Range<u64>| *whole.entry((range.start, range.end)).or_insert_with(|| of(&entries, range));
    let mut random = Random(2);
    for to in 0..=MOST {
        let at = |size| roots[usize::try_from(size).expect("small")];
        assert_eq!(proof::consistency(to + 1, to), Err(ProofError::Shrunk { from: to + 1, to }));
        for from in 0..=to {
            let ranges = proof::consistency(from, to).expect("it is smaller");
            let mut path: Vec<Hash> = ranges.into_iter().map(&mut part).collect();
            let shown = check_consistency(from, &at(from), to, &at(to), &path);
            assert_eq!(shown, Ok(()), "{from} of {to}");
            if from == 0 || from == to {
                assert!(path.is_empty());
                continue;
            }
            let mut wrong = at(from);
            wrong.0[0] ^= 1;
            assert!(check_consistency(from, &wrong, to, &at(to), &path).is_err(), "{from} of {to}");
            let mut wrong = at(to);
            wrong.0[31] ^= 128;
            assert!(check_consistency(from, &at(from), to, &wrong, &path).is_err(), "{from} of {to}");
            let changed = usize::try_from(random.below(path.len() as u64)).expect("small");
            path[changed].0[5] ^= 4;
            assert!(check_consistency(from, &at(from), to, &at(to), &path).is_err(), "{from} of {to}");
            path.push(path[0]);
            let refused = check_consistency(from, &at(from), to, &at(to), &path);
            assert!(matches!(refused, Err(ProofError::Length { .. })), "{from} of {to}: {refused:?}");
        }
    }
}

#[test]
fn the_published_examples_come_out() {
    let entries: Vec<Vec<u8>> =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
            .map(hex)
            .to_vec();
    let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]
    .map(hash);
    for (size, root) in (0..).zip(roots) {
        assert_eq!(of(&entries, 0..size), root, "of {size}");
    }
    let [one, sibling, pair, four, upper, left, six] = [
        roots[1],
        hash("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"),
        hash("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"),
        hash("6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"),
        hash("ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"),
        hash("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"),
        hash("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"),
    ];
    for (index, size, path) in [
        (0, 1, vec![]),
        (0, 8, vec![sibling, pair, four]),
        (5, 8, vec![left, upper, roots[4]]),
        (2, 3, vec![roots[2]]),
        (1, 5, vec![one, pair, left]),
    ] {
        let found = proof::inclusion(index, size).expect("it is in the tree");
        let found: Vec<Hash> = found.into_iter().map(|range| of(&entries, range)).collect();
        assert_eq!(found, path, "{index} of {size}");
    }
    for (from, to, path) in [
        (1, 1, vec![]),
        (1, 8, vec![sibling, pair, four]),
        (6, 8, vec![six, upper, roots[4]]),
        (2, 5, vec![pair, left]),
    ] {
        let found = proof::consistency(from, to).expect("it is smaller");
        let found: Vec<Hash> = found.into_iter().map(|range| of(&entries, range)).collect();
        assert_eq!(found, path, "{from} of {to}");
    }
}

#[test]
fn another_implementation_gives_the_same_roots_and_proofs() {
    let entries = some(300);
    let mut theirs = ct_merkle::mem_backed_tree::MemoryBackedTree::<Sha256, Vec<u8>>::new();
    for size in 0..=300_u64 {
        assert_eq!(Hash((*theirs.root().as_bytes()).into()), of(&entries, 0..size), "of {size}");
        let bytes = |ranges: Vec<Range<u64>>| -> Vec<u8> {
            ranges.into_iter().flat_map(|range| of(&entries, range).0).collect()
        };
        for other in (0..size).step_by(1 + usize::try_from(size / 20).expect("small")) {
            let at = usize::try_from(other).expect("small");
            let ours = bytes(proof::inclusion(other, size).expect("it is in the tree"));
            assert_eq!(theirs.prove_inclusion(at).as_bytes(), ours, "{other} of {size}");
            if other > 0 {
                let added = usize::try_from(size - other).expect("small");
                let ours = bytes(proof::consistency(other, size).expect("it is smaller"));
                assert_eq!(theirs.prove_consistency(added).as_bytes(), ours, "{other} of {size}");
            }
        }
        if let Some(entry) = entries.get(usize::try_from(size).expect("small")) {
            theirs.push(entry.clone());
        }
    }
}

/// Appends so many records, and gives the canonical bytes of all there are.
fn fill(ledger: &Ledger, count: u64) -> Vec<Vec<u8>> {
    let head = ledger.head();
    let numbers: Vec<u64> = (head..head + count).collect();
    for numbers in numbers.chunks(100) {
        let records = numbers.iter().map(|number| record("stream", &number.to_le_bytes())).collect();
        ledger.append(Append::of(records)).expect("nothing is in the way");
    }
    entries(ledger)
}

fn entries(ledger: &Ledger) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    ledger
        .scan(1, u64::MAX, &mut |record| {
            let mut bytes = Vec::new();
            record.encode_canonical(&mut bytes);
            entries.push(bytes);
            ControlFlow::Continue(())
        })
        .expect("the log is sound");
    entries
}

/// Everything the ledger says of its tree is what the definition says of its records.
fn check(ledger: &Ledger, entries: &[Vec<u8>], seed: u64) {
    let head = entries.len() as u64;
    assert_eq!(ledger.head(), head);
    let mut random = Random(seed);
    let mut sizes = vec![0, head / 2, head.saturating_sub(1), head];
    sizes.extend(
        [1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537].into_iter().filter(|size| *size <= head),
    );
    sizes.extend((0..4).map(|_| random.below(head + 1)));
    sizes.sort_unstable();
    let roots: Vec<Hash> = sizes.iter().map(|size| of(entries, 0..*size)).collect();
    for (place, (size, root)) in sizes.iter().zip(&roots).enumerate() {
        assert_eq!(ledger.root(*size).expect("it goes that far"), *root, "of {size}, seed {seed}");
        for index in [0, size / 3, random.below((*size).max(1)), size.saturating_sub(1)] {
            if index < *size {
                let path = ledger.inclusion_proof(index, *size).expect("it is in the tree");
                let leaf = of(entries, index..index + 1);
                assert_eq!(check_inclusion(&leaf, index, *size, &path, root), Ok(()), "{index} of {size}");
            }
        }
        for (from, earlier) in sizes.iter().zip(&roots).take(place) {
            let path = ledger.consistency_proof(*from, *size).expect("it goes that far");
            assert_eq!(check_consistency(*from, earlier, *size, root, &path), Ok(()), "{from} of {size}");
        }
    }
    let beyond = ledger.root(head + 1).expect_err("it does not go that far");
    assert!(matches!(beyond, TreeError::Beyond(ProofError::Shrunk { .. })), "{beyond}");
}

#[test]
fn the_tree_of_a_ledger_is_that_of_its_records_however_it_came_to_be() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    check(&ledger, &[], 1);
    // A few at a time, asked for in between and not.
    for (seed, count) in [(2, 1), (3, 1), (4, 253), (5, 1), (6, 1), (7, 700), (8, 3)] {
        let entries = fill(&ledger, count);
        check(&ledger, &entries, seed);
    }
    fill(&ledger, 1_000);
    ledger.seal_now().expect("the disk works");
    let entries = fill(&ledger, 77);
    ledger.close().expect("the disk works");
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    check(&ledger, &entries, 9);
    ledger.close().expect("the disk works");
    // Without what is derived, from the records alone; and with all of it in memory.
    std::fs::remove_dir_all(dir.path().join("index")).expect("it is there");
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    check(&ledger, &entries, 10);
    ledger.close().expect("the disk works");
    let (ledger, _) = open(dir.path(), IndexKind::Plain);
    check(&ledger, &entries, 11);
}

/// Tiles as somebody elsewhere fetches them.
struct Fetched<'l>(&'l Ledger);

impl tlog_tiles::TileReader for Fetched<'_> {
    fn height(&self) -> u8 {
        8
    }

    fn read_tiles(&self, tiles: &[tlog_tiles::Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
        Ok(tiles
            .iter()
            .map(|tile| {
                let path = tile.path();
                let path =
                    path.strip_prefix("tile/8/").or(path.strip_prefix("tile/")).expect("a tile's path");
                let path = TilePath::parse(path).unwrap_or_else(|| panic!("{path} is an address"));
                self.0.tile(path).expect("the ledger answers").unwrap_or_else(|| panic!("{path} is there"))
            })
            .collect())
    }

    fn save_tiles(&self, _: &[tlog_tiles::Tile], _: &[Vec<u8>]) {}
}

#[test]
fn who_reads_the_tiles_with_another_implementation_comes_to_the_same_proofs() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (ledger, _) = open(dir.path(), IndexKind::Sled);
    let theirs = |hash: Hash| tlog_tiles::Hash(hash.0);
    for (count, seed) in [(200, 1), (1_100, 2), (64_300, 3), (3_000, 4)] {
        let entries = fill(&ledger, count);
        let size = entries.len() as u64;
        let root = theirs(ledger.root(size).expect("it goes that far"));
        let tiles = Fetched(&ledger);
        let reader = tlog_tiles::TileHashReader::new(size, root, &tiles);
        let mut random = Random(seed);
        for index in [0, size - 1, random.below(size), random.below(size)] {
            let path = tlog_tiles::prove_record(size, index, &reader).expect("their tiles are right");
            let ours = ledger.inclusion_proof(index, size).expect("it is in the tree");
            assert_eq!(path, ours.into_iter().map(theirs).collect::<Vec<_>>(), "{index} of {size}");
            let leaf = theirs(of(&entries, index..index + 1));
            tlog_tiles::check_record(&path, size, root, index, leaf).expect("it is in the tree");
        }
        for from in [1, 1 + random.below(size - 1), size - 1] {
            let path = tlog_tiles::prove_tree(size, from, &reader).expect("their tiles are right");
            let ours = ledger.consistency_proof(from, size).expect("it goes that far");
            assert_eq!(path, ours.into_iter().map(theirs).collect::<Vec<_>>(), "{from} of {size}");
        }
        let bundle = TilePath::within(Tiled::Entries, size / 256, size).expect("it is there");
        let bytes = ledger.tile(bundle).expect("the ledger answers").expect("it is there");
        let mut rest = &bytes[..];
        for entry in &entries[usize::try_from(bundle.index * 256).expect("small")..] {
            let (length, after) = rest.split_first_chunk().expect("another entry");
            let (found, after) = after.split_at(usize::from(u16::from_be_bytes(*length)));
            assert_eq!(found, entry);
            rest = after;
        }
        assert!(rest.is_empty());
        for absent in [
            TilePath { width: bundle.width + 1, ..bundle },
            TilePath { index: bundle.index + 1, width: 1, ..bundle },
            TilePath { of: Tiled::Hashes(3), index: 0, width: 1 },
        ] {
            assert_eq!(ledger.tile(absent).expect("the ledger answers"), None, "{absent}");
        }
    }
}
