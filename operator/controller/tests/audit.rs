//! The audit trail: whole as long as nobody touched it, and every touch is found (invariants 59 to 61).
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

use std::{
    io::Write as _,
    path::Path,
    sync::{Arc, mpsc},
    time::Duration,
};

use hozen_controller::{
    act::Outcome,
    audit::{Error, Finding, Head, Sink, Trail, Verified, What, verify},
    clock::MachineClock,
};
use hozen_domain::{effect::Effect, units::Uid};
use proptest::{prelude::*, sample::Index};

fn effect(number: usize) -> Effect {
    Effect::RequestScan { node: (format!("node-{number}").into(), Uid::new("uid")), scan: 1 }
}

async fn written(path: &Path, entries: std::ops::Range<usize>) {
    let trail = Trail::open("replica-a", Arc::new(MachineClock), path).unwrap();
    for number in entries {
        let effect = effect(number);
        trail.append(3, &What::intent(&effect)).await.unwrap();
        trail.append(3, &What::intent(&effect).ended(&Outcome::Done)).await.unwrap();
    }
}

fn whole(entries: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(written(&path, 0..entries));
    std::fs::read(path).unwrap()
}

fn check(trail: &[u8], kept: Option<&Head>) -> Result<Verified, Finding> {
    verify(&mut &trail[..], kept)
}

#[tokio::test]
async fn i60_a_trail_goes_on_after_a_restart_and_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    written(&path, 0..3).await;
    let head = check(&std::fs::read(&path).unwrap(), None).unwrap().head.unwrap();
    written(&path, 3..5).await;
    let verified = check(&std::fs::read(&path).unwrap(), Some(&head)).unwrap();
    assert_eq!(verified.entries, 10);
}

#[tokio::test]
async fn i60_a_file_has_one_writer_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let open = || Trail::open("replica-b", Arc::new(MachineClock), &path);
    let first = open().unwrap();
    let error = open().err().expect("or they would make two chains of it");
    assert!(error.to_string().contains("a file of its own"), "{error}");
    drop(first);
    assert!(open().is_ok());
}

/// A disk that does not answer before it is told to.
struct Hangs(mpsc::Receiver<()>);

impl Sink for Hangs {
    fn append(&mut self, _: &[u8]) -> std::io::Result<()> {
        match self.0.recv() {
            // Whoever holds it back is gone, which is an answer too.
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn i63_a_sink_that_does_not_answer_keeps_nobody_and_says_since_when() {
    let (answer, hangs) = mpsc::channel();
    let trail = Trail::new("replica-a", Arc::new(MachineClock), Box::new(Hangs(hangs)));
    let effect = effect(1);
    assert_eq!(trail.waits_since(), None);
    for _ in 0..2 {
        let intent = What::intent(&effect);
        let (appended, ()) =
            tokio::join!(trail.append(3, &intent), tokio::time::advance(Duration::from_secs(4)));
        assert!(matches!(appended, Err(Error::Late)), "{appended:?}");
        assert!(trail.waits_since().is_some(), "the thread that has the first entry waits on");
    }
    drop(answer);
    trail.append(3, &What::intent(&effect)).await.expect("it answers again");
    assert_eq!(trail.waits_since(), None);
}

#[tokio::test]
async fn i59_a_line_that_was_torn_by_a_kill_is_cut_off_and_the_chain_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    written(&path, 0..2).await;
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(b"{\"number\":4,\"at\":\"2026-").unwrap();
    let torn = check(&std::fs::read(&path).unwrap(), None);
    assert!(matches!(torn, Err(Finding::Torn { line: 5 })), "{torn:?}");
    written(&path, 2..3).await;
    assert_eq!(check(&std::fs::read(&path).unwrap(), None).unwrap().entries, 6);
}

#[tokio::test]
async fn i61_nothing_is_appended_to_a_trail_whose_end_was_altered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    written(&path, 0..2).await;
    let text = std::fs::read_to_string(&path).unwrap();
    let at = text.rfind("Done").unwrap();
    std::fs::write(&path, format!("{}Lost{}", &text[..at], &text[at + 4..])).unwrap();
    let error = Trail::open("replica-a", Arc::new(MachineClock), &path).err().unwrap();
    assert!(matches!(error, Error::Broken { .. }), "{error}");
}

#[test]
fn i61_a_trail_that_was_cut_off_at_its_end_is_found_by_the_head_that_was_kept() {
    let trail = whole(4);
    let head = check(&trail, None).unwrap().head.unwrap();
    let lines: Vec<&[u8]> = trail.split_inclusive(|byte| *byte == b'\n').collect();
    let cut = lines[..6].concat();
    assert_eq!(check(&cut, None).unwrap().entries, 6, "the chain alone cannot tell");
    assert!(matches!(check(&cut, Some(&head)), Err(Finding::Head { number: 7 })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn i61_any_byte_that_was_changed_is_found(at: Index, to: u8) {
        let mut trail = whole(4);
        let at = at.index(trail.len());
        prop_assume!(trail[at] != to);
        trail[at] = to;
        prop_assert!(check(&trail, None).is_err());
    }

    #[test]
    fn i61_a_line_that_was_dropped_moved_or_put_in_is_found(a: Index, b: Index, how in 0..3) {
        let trail = whole(4);
        let mut lines: Vec<&[u8]> = trail.split_inclusive(|byte| *byte == b'\n').collect();
        let (a, b) = (a.index(lines.len()), b.index(lines.len()));
        match how {
            // The last line dropped is found only by a head that was kept.
            0 => { prop_assume!(a + 1 < lines.len()); lines.remove(a); }
            1 => { prop_assume!(a != b); lines.swap(a, b); }
            _ => { let line = lines[a]; lines.insert(b, line); }
        }
        prop_assert!(check(&lines.concat(), None).is_err());
    }
}

/// As a container prints it, between lines of its log. An entry that was made into one of those is missing.
#[test]
fn i61_lines_of_the_log_are_passed_over_and_hide_no_entry() {
    let trail = whole(4);
    let log = br#"{"timestamp":"2026-11-30T19:00:00Z","level":"INFO","fields":{"message":"leads"},"target":"hozen"}
"#;
    let mut lines: Vec<&[u8]> = trail.split_inclusive(|byte| *byte == b'\n').collect();
    lines.insert(0, log);
    lines.insert(4, log);
    let verified = check(&lines.concat(), None).unwrap();
    assert_eq!((verified.entries, verified.passed_over), (8, 2));
    lines[2] = log;
    assert!(matches!(check(&lines.concat(), None), Err(Finding::Order { line: 4 })));
}

#[test]
fn a_trail_that_is_empty_is_whole_and_garbage_is_not() {
    assert_eq!(check(b"", None).unwrap(), Verified { entries: 0, passed_over: 0, head: None });
    for garbage in [&b"\n"[..], b"{}\n", b"\xff\xfe\n", b"{\"hash\":\"\"}\n"] {
        assert!(matches!(check(garbage, None), Err(Finding::Form { line: 1 })));
    }
    let long = vec![b'x'; 1 << 20];
    assert!(matches!(check(&long, None), Err(Finding::Torn { line: 1 })));
}
