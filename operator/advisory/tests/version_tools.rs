//! The orderings of dpkg and rpm agree with the distributions' own tools, over real versions and generated ones.
//!
//! One process is fed all pairs: Debian's `Dpkg::Version` (package libdpkg-perl, dpkg's own code) and `rpm` with its Lua
//! (package rpm). Where a tool is absent the test fails and says what to install.

#![expect(clippy::panic, reason = "a test that cannot run its tool says what to install")]

mod samples;

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use hozen_advisory::version::Scheme;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

/// How many versions are made, and with how many others each is paired: with the real ones, over 100,000 pairs.
const GENERATED: usize = 4_000;
const PARTNERS: usize = 20;

/// Real versions: each is paired with its neighbours in order, which are the hardest to tell apart.
const REAL_DPKG: &str = include_str!("samples/dpkg.txt");
const REAL_RPM: &str = include_str!("samples/rpm.txt");

/// Pairs to try: generated ones of one seed, real neighbours, real strangers, and real versions with a piece changed.
fn pairs(scheme: Scheme, real: &str) -> Vec<(String, String)> {
    let mut runner = TestRunner::deterministic();
    let strategy = samples::versions(scheme);
    let generated: Vec<String> = (0..GENERATED)
        .map(|_| strategy.new_tree(&mut runner).expect("the strategy yields").current())
        .collect();
    let mut pairs = Vec::new();
    for partner in 1..=PARTNERS {
        let shifted = generated.iter().cycle().skip(partner * 197);
        pairs.extend(generated.iter().cloned().zip(shifted.cloned()));
    }
    let mut versions: Vec<&str> = real.lines().collect();
    versions.sort_by(|a, b| scheme.compare(a, b).expect("real versions are read"));
    for distance in 1..=8 {
        let neighbours = versions.windows(distance + 1).map(|w| (w[0], w[distance]));
        pairs.extend(neighbours.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
    for (index, version) in versions.iter().enumerate() {
        let stranger = versions[(index * 7919 + 13) % versions.len()];
        pairs.push(((*version).to_owned(), stranger.to_owned()));
        for piece in ["~", "+", ".0", "0", "a", "~1", "+b1", ".1"] {
            pairs.push((format!("{version}{piece}"), (*version).to_owned()));
            if let Some((head, tail)) = version.split_once('.') {
                pairs.push((format!("{head}{piece}.{tail}"), (*version).to_owned()));
            }
        }
    }
    assert!(pairs.len() >= 100_000, "{} pairs", pairs.len());
    pairs
}

/// Feeds all pairs to one process, one a line, and reads -1, 0 or 1 for each.
fn ask(mut tool: Command, install: &str, pairs: &[(String, String)]) -> Vec<Ordering> {
    let mut text = String::new();
    for (a, b) in pairs {
        writeln!(text, "{a} {b}").expect("a String takes all");
    }
    let name = tool.get_program().to_string_lossy().into_owned();
    let mut child =
        tool.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap_or_else(|error| {
            panic!("{name} does not start ({error}): apt-get install {install}")
        });
    let mut stdin = child.stdin.take().expect("piped");
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().expect("the tool ends");
    writer.join().expect("the writer ends").unwrap_or_else(|error| {
        panic!("{name} does not read its pairs ({error}): apt-get install {install}")
    });
    assert!(output.status.success(), "{name} failed: apt-get install {install}");
    let answers = String::from_utf8(output.stdout).expect("the tool prints numbers");
    let orders = answers.split_whitespace().map(|answer| match answer {
        "-1" => Ordering::Less,
        "0" => Ordering::Equal,
        "1" => Ordering::Greater,
        other => panic!("{name} printed {other}"),
    });
    orders.collect()
}

fn agree(scheme: Scheme, pairs: &[(String, String)], theirs: &[Ordering]) {
    assert_eq!(pairs.len(), theirs.len(), "an answer for every pair");
    let mut kinds = [0_usize; 3];
    for ((a, b), theirs) in pairs.iter().zip(theirs) {
        assert_eq!(scheme.compare(a, b).as_ref(), Ok(theirs), "{scheme}: {a} and {b}");
        let keys = scheme.key(a).expect("read").cmp(&scheme.key(b).expect("read"));
        assert_eq!(keys, *theirs, "{scheme}: keys of {a} and {b}");
        kinds[match theirs {
            Ordering::Less => 0,
            Ordering::Equal => 1,
            Ordering::Greater => 2,
        }] += 1;
    }
    println!("{scheme}: {} pairs agree: {kinds:?} less, equal, greater", pairs.len());
    assert!(kinds.iter().all(|&count| count > 500), "each outcome is tried: {kinds:?}");
}

#[test]
fn dpkg_orders_as_dpkg_does() {
    let pairs = pairs(Scheme::Dpkg, REAL_DPKG);
    let mut perl = Command::new("perl");
    perl.args(["-MDpkg::Version", "-lane", "print version_compare($F[0], $F[1])"]);
    let theirs = ask(perl, "libdpkg-perl", &pairs);
    agree(Scheme::Dpkg, &pairs, &theirs);
}

#[test]
fn dpkg_orders_as_the_dpkg_binary_does_odd_versions_included() {
    let pairs = pairs(Scheme::Dpkg, REAL_DPKG);
    for (index, (a, b)) in pairs.iter().step_by(pairs.len() / 2_000).enumerate() {
        // dpkg only warns of what does not start with a digit, and of odd characters, and goes on.
        let odd = [String::new(), format!("a{b}"), format!("{b}_%"), format!("~{b}")];
        let b = if b.contains(':') || index % 4 == 0 { b } else { &odd[index % 4] };
        let operator = match Scheme::Dpkg.compare(a, b).expect("read") {
            Ordering::Less => "lt",
            Ordering::Equal => "eq",
            Ordering::Greater => "gt",
        };
        let mut dpkg = Command::new("dpkg");
        dpkg.args(["--compare-versions", a, operator, b]).stderr(Stdio::null());
        let status = dpkg.status().expect("dpkg starts: apt-get install dpkg");
        assert!(status.success(), "dpkg denies {a} {operator} {b}");
    }
}

#[test]
fn rpm_orders_as_rpm_does() {
    let pairs = pairs(Scheme::Rpm, REAL_RPM);
    let mut rpm = Command::new("rpm");
    let lua = "for line in io.stdin:lines() do local a, b = line:match('^(%S+) (%S+)$'); \
               print(rpm.vercmp(a, b) .. '\\n') end";
    rpm.args(["--eval", &format!("%{{lua: {lua}}}")]);
    let theirs = ask(rpm, "rpm", &pairs);
    agree(Scheme::Rpm, &pairs, &theirs);
}

#[test]
fn semver_orders_as_the_semver_crate_does() {
    let mut runner = TestRunner::deterministic();
    let version = "[01]\\.[01]\\.[01](-[1-3a]{1,2}(\\.[1-3a-]{1,2}){0,2})?";
    let strategy = (version, version);
    let mut compared = 0;
    for _ in 0..5_000 {
        let (a, b) = strategy.new_tree(&mut runner).expect("the strategy yields").current();
        let (Ok(x), Ok(y)) = (semver::Version::parse(&a), semver::Version::parse(&b)) else {
            continue;
        };
        compared += 1;
        assert_eq!(Scheme::Semver.compare(&a, &b), Ok(x.cmp_precedence(&y)), "{a} and {b}");
    }
    assert!(compared > 500, "{compared} of the generated pairs are strict");
}
