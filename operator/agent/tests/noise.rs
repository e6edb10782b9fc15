//! Noise: what `make fuzz` does with a node's files, over its seeds as they are and spoilt a little. Whatever stands in a file, it
//! is read or refused, in bounded time, and nothing panics.

#[path = "../../../fuzz/src/node.rs"]
mod node;
#[path = "../../../fuzz/src/place.rs"]
mod place;

use std::{fs, io::Write as _, path::Path};

use hozen_agent::rpm::{Form, headers};
use proptest::{
    collection::vec,
    prelude::*,
    sample::Index,
    test_runner::{Config, TestRunner},
};

/// What a target does with an input.
type Check = fn(&[u8]);

/// Every target that looks at a node: its name, and what it does.
const TARGETS: [(&str, Check); 10] = [
    ("node_dpkg", node::dpkg),
    ("node_apt", node::apt),
    ("node_texts", |bytes| node::texts(&String::from_utf8_lossy(bytes))),
    ("node_rpm_database", node::rpm_database),
    ("node_rpm_header", node::rpm_header),
    ("node_repodata", node::repodata),
    ("node_apk", node::apk),
    ("node_proc", node::proc),
    ("node_compressed", node::compressed),
    ("node_share", node::share),
];

/// What is put where it does not belong.
const SCRAPS: [&[u8]; 14] = [
    b"",
    b"\n",
    b"\n\n",
    b":",
    b" ",
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\n%%%\n",
    b"[<\"{",
    b"]>\"}",
    b"-1",
    b"99999999999999999999",
    "\u{2028}保全".as_bytes(),
];

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds").join(target);
    let entries = fs::read_dir(folder).expect("every target has seeds");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("it can be listed").path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).expect("it can be read")).collect()
}

/// Cuts: where, how many bytes are taken away, and which scrap is put there.
fn spoil(seed: &[u8], cuts: &[(Index, usize, Index)]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for (at, taken, scrap) in cuts {
        let at = at.index(bytes.len().max(1)).min(bytes.len());
        let end = (at + taken).min(bytes.len());
        bytes.splice(at..end, SCRAPS[scrap.index(SCRAPS.len())].iter().copied());
    }
    bytes
}

#[test]
fn a_spoilt_file_of_a_node_is_read_or_refused() {
    for (target, check) in TARGETS {
        let seeds = seeds(target);
        let cuts = vec((any::<Index>(), 0_usize..12, any::<Index>()), 1..6);
        for seed in &seeds {
            check(seed);
        }
        let config = Config { failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new(config);
        let outcome = runner.run(&(any::<Index>(), cuts), |(seed, cuts)| {
            check(&spoil(&seeds[seed.index(seeds.len())], &cuts));
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{target}: {error}"));
    }
}

#[test]
fn a_database_whose_slots_all_name_one_package_is_not_read_for_ever() {
    let mut database =
        seeds("node_rpm_database").into_iter().find(|seed| seed[0] == 1).expect("a seed is an ndb");
    database.remove(0);
    // After the file's own header, 254 slots of 16 bytes; the first names a package.
    let slot = database[32..48].to_vec();
    for other in database[48..4096].chunks_exact_mut(16) {
        other.copy_from_slice(&slot);
    }
    let mut file = tempfile::tempfile().expect("a file can be made");
    file.write_all(&database).expect("it can be written");
    let mut bytes = 0;
    let refused = headers(file, Form::Ndb, &mut |header| bytes += header.len());
    let why = refused.expect_err("it is damaged").to_string();
    assert_eq!(why, "is damaged: it names the same bytes again and again");
    assert!((1..=database.len()).contains(&bytes), "{bytes}");
}

#[test]
fn every_target_of_make_fuzz_that_looks_at_a_node_is_run_here() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/fuzz_targets");
    let entries = fs::read_dir(folder).expect("the targets are there");
    let names = entries.map(|entry| entry.expect("it can be listed").file_name());
    let mut names: Vec<String> = names
        .filter_map(|name| Some(name.to_string_lossy().strip_suffix(".rs")?.to_owned()))
        .filter(|name| name.starts_with("node_"))
        .collect();
    names.sort();
    let mut here = TARGETS.map(|(name, _)| name);
    here.sort_unstable();
    assert_eq!(names, here);
}
