//! A package that a baseline forbids, from the scanner's answer to what is left of it, with the real apt, dnf and zypper and packages of our
//! own making.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test that cannot prepare its host fails"
)]

#[expect(dead_code, reason = "shared with the tests of other hosts")]
mod debian;
#[expect(dead_code, reason = "shared with the tests of other hosts")]
mod rpm;

use std::{collections::BTreeMap, fs};

use debian::{Host, Job};
use hozen_agent::share::{Request, Share};
use hozen_api::{
    job::{AnswerResult, ErrorClass},
    managed_node::{Earlier, ResolveRequest, Step},
    node_inventory::{Resolved, RollbackReach},
};
use rpm::Tool;
use rstest::rstest;

/// What the operator asks for under this name.
const PURPOSE: &str = "forbidden-packages";
const NAMES: [&str; 4] = ["alpha", "beta", "gamma", "delta"];
/// Beta and gamma need alpha, and delta needs beta; somebody has asked for gamma and delta.
const WISHED: [&str; 2] = ["gamma", "delta"];

/// Which package manager a host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Apt,
    Rpm(Tool),
}

/// Four packages are installed.
struct Scene {
    kind: Kind,
    folder: tempfile::TempDir,
    host: Host,
}

impl Scene {
    fn new(test: &str, kind: Kind) -> Option<Self> {
        let folder = debian::place(&format!("{test} {kind:?}"))?;
        let host = match kind {
            Kind::Apt => Self::debian(test, &folder)?,
            Kind::Rpm(tool) => Self::rpm(test, &folder, tool)?,
        };
        Some(Self { kind, folder, host })
    }

    fn debian(test: &str, folder: &tempfile::TempDir) -> Option<Host> {
        let package = |name, depends| debian::Package { name, version: "1", depends, setting: "1" };
        let repository = debian::Repository::new(folder.path());
        repository.publish(&[
            debian::Package { version: "0", ..package("gamma", "alpha") },
            package("alpha", ""),
            package("beta", "alpha"),
            package("gamma", "alpha"),
            package("delta", "beta"),
        ]);
        let host = Host::new(test, folder.path(), &repository)?;
        let install = "apt-get -qq update; apt-get -qq -y install gamma delta >/dev/null";
        host.run(&["sh", "-ec", install]);
        Some(host)
    }

    fn rpm(test: &str, folder: &tempfile::TempDir, tool: Tool) -> Option<Host> {
        let package = |name, requires| rpm::Package { name, version: "1", requires, setting: "1" };
        let repository = rpm::Repository::new(folder.path());
        repository.publish(&[
            rpm::Package { version: "0", ..package("gamma", "alpha") },
            package("alpha", ""),
            package("beta", "alpha"),
            package("gamma", "alpha"),
            package("delta", "beta"),
        ]);
        let host = rpm::host(test, folder.path(), &repository, tool, &WISHED)?;
        host.run(match tool {
            Tool::Dnf => &["dnf", "--quiet", "makecache"],
            Tool::Zypper => &["zypper", "--non-interactive", "refresh"],
        });
        Some(host)
    }

    /// Asks the scanner, as the operator does, and gives its answer and the lines of the transaction.
    fn answer(&self, ask: ResolveRequest) -> (Option<Resolved>, Vec<String>) {
        let folder = self.folder.path().join("host/shared");
        fs::create_dir_all(&folder).unwrap();
        let share = Share::at(folder);
        let ask = ResolveRequest { name: PURPOSE.into(), ..ask };
        let scan = Some("1".into());
        share.ask(&Request { scan, resolve: vec![ask], ..Request::default() }).unwrap();
        self.host.scan();
        let report = share.report().unwrap().unwrap();
        let resolved = report.transactions.into_iter().find(|resolved| resolved.name == PURPOSE);
        let digest = resolved.as_ref().and_then(|resolved| resolved.transaction.clone());
        let lines = digest.map(|digest| share.transaction(&digest).unwrap().unwrap().changes);
        (resolved, lines.unwrap_or_default())
    }

    fn asked(&self, remove: &str) -> (Option<Resolved>, Vec<String>) {
        let remove = vec![remove.into()];
        self.answer(ResolveRequest { remove, ..ResolveRequest::default() })
    }

    fn refused(&self, remove: &str) -> String {
        let (resolved, lines) = self.asked(remove);
        assert!(lines.is_empty(), "{lines:?}");
        resolved.unwrap().problem.unwrap()
    }

    fn versions(&self) -> BTreeMap<String, String> {
        match self.kind {
            Kind::Apt => self.host.versions(&NAMES),
            Kind::Rpm(_) => rpm::versions(&self.host, &NAMES),
        }
    }

    /// The installed ones of our packages.
    fn there(&self) -> Vec<String> {
        self.versions().into_keys().collect()
    }

    /// Those of our packages that somebody has asked for, where the package manager is one whose marks are kept.
    fn wished(&self) -> Vec<String> {
        let listed = match self.kind {
            Kind::Apt => self.host.run(&["apt-mark", "showmanual"]),
            Kind::Rpm(Tool::Dnf) => {
                let query = ["dnf", "--quiet", "--cacheonly", "repoquery", "--userinstalled"];
                self.host.run(&[&query[..], &["--queryformat=%{name}\\n"]].concat())
            }
            Kind::Rpm(Tool::Zypper) => WISHED.join("\n"),
        };
        let mut wished: Vec<String> =
            listed.lines().filter(|name| NAMES.contains(name)).map(str::to_owned).collect();
        wished.sort();
        wished
    }
}

#[rstest]
#[case::apt(Kind::Apt)]
#[case::dnf(Kind::Rpm(Tool::Dnf))]
#[case::zypper(Kind::Rpm(Tool::Zypper))]
fn a_forbidden_package_goes_as_approved_with_what_needs_it_and_comes_back_as_it_was(
    #[case] kind: Kind,
) {
    let Some(scene) = Scene::new("a_forbidden_package_goes_as_approved", kind) else { return };
    let (resolved, lines) = scene.asked("beta");
    let words: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
    let told: Vec<(&str, &str, &str)> = words
        .iter()
        .map(|words| (words[0].split(':').next().unwrap(), words[2], words[3]))
        .collect();
    assert_eq!(told, [("beta", "-", "-"), ("delta", "-", "-")], "{resolved:?}");
    let resolved = resolved.unwrap();
    assert_eq!((resolved.packages, resolved.rollback), (2, RollbackReach::Possible));
    assert!(!resolved.reboot && resolved.download_bytes == 0 && resolved.disk_bytes <= 0);

    // Exactly this: what would go along is refused where nobody agreed to it.
    let alone = Job::patch(vec![lines[0].clone()]);
    let (answer, log) = scene.host.work(&alone);
    let ended = (answer.result, answer.class);
    assert_eq!(ended, (AnswerResult::Refused, Some(ErrorClass::Difference)), "{log}");
    assert_eq!(scene.there().len(), 4);

    let job = Job { attempt: 2, ..Job::patch(lines) };
    let (answer, log) = scene.host.work(&job);
    assert_eq!(answer.result, AnswerResult::Done, "{}\n{log}", answer.message);
    assert_eq!(scene.there(), ["alpha", "gamma"]);
    if kind == Kind::Apt {
        // Removed, and not purged: what an administrator has written stays.
        assert!(scene.host.run(&["cat", "/etc/beta.conf"]).starts_with('1'));
    }
    let (resolved, _) = scene.asked("beta");
    assert_eq!(resolved, None, "there is nothing left to ask for");

    let (answer, log) = scene.host.work(&Job { step: Step::Rollback, ..job });
    assert_eq!(answer.result, AnswerResult::Done, "{}\n{log}", answer.message);
    assert_eq!(scene.there(), ["alpha", "beta", "delta", "gamma"]);
    assert_eq!(scene.wished(), ["delta", "gamma"], "{log}");
}

#[test]
fn what_debian_calls_essential_or_an_administrator_holds_is_not_removed_and_named() {
    let test = "what_debian_calls_essential_or_an_administrator_holds";
    let Some(scene) = Scene::new(test, Kind::Apt) else { return };
    let why = scene.refused("dash");
    let told = "nothing would be removed: dash must stay: its distribution calls it essential";
    assert!(why.contains(&told["nothing would be removed: ".len()..]), "{why}");
    assert!(why.starts_with("nothing would be removed: "), "{why}");

    scene.host.run(&["apt-mark", "hold", "beta"]);
    assert_eq!(
        scene.refused("beta"),
        "nothing would be removed: beta must stay: an administrator holds it back on this node: lift the hold first"
    );
    // apt itself refuses to take along what is held, and does not say that it is.
    scene.host.run(&["apt-mark", "unhold", "beta"]);
    scene.host.run(&["apt-mark", "hold", "delta"]);
    let why = scene.refused("beta");
    let told = "; delta needs it and is held back on this node: lift the hold first";
    assert!(why.starts_with("could not resolve: ") && why.ends_with(told), "{why}");
}

#[rstest]
#[case::dnf(Tool::Dnf)]
#[case::zypper(Tool::Zypper)]
fn what_an_rpm_host_protects_is_not_removed_and_named(#[case] tool: Tool) {
    let test = "what_an_rpm_host_protects_is_not_removed";
    let Some(scene) = Scene::new(test, Kind::Rpm(tool)) else { return };
    let folder = scene.host.at("etc/dnf/protected.d");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("tests.conf"), "# ours\ndelta\n").unwrap();

    assert_eq!(
        scene.refused("beta"),
        "nothing would be removed: delta would go along, and must stay: \
         /etc/dnf/protected.d/tests.conf protects it"
    );
}

#[rstest]
#[case::apt(Kind::Apt, "0")]
#[case::dnf(Kind::Rpm(Tool::Dnf), "0-1")]
#[case::zypper(Kind::Rpm(Tool::Zypper), "0-1")]
fn what_is_above_its_pin_is_resolved_back_to_it_and_goes_back(
    #[case] kind: Kind,
    #[case] pin: &str,
) {
    let Some(scene) = Scene::new("what_is_above_its_pin_is_resolved_back", kind) else { return };
    let back = |version: &str| {
        let earlier = Earlier { package: "gamma".into(), version: version.into() };
        scene.answer(ResolveRequest { downgrade: vec![earlier], ..ResolveRequest::default() })
    };
    let (resolved, lines) = back(pin);
    assert_eq!(lines.len(), 1, "{lines:?}, {resolved:?}");
    let words: Vec<&str> = lines[0].split(' ').collect();
    assert_eq!((words[1], words[2]), (pin.replacen('0', "1", 1).as_str(), pin));
    let (nowhere, none) = back("0.5-1");
    assert!(none.is_empty() && nowhere.unwrap().problem.is_some());

    let (answer, log) = scene.host.work(&Job::patch(lines));
    assert_eq!(answer.result, AnswerResult::Done, "{}\n{log}", answer.message);
    assert_eq!(scene.versions()["gamma"], "0");
    assert_eq!(back(pin).0, None, "there is nothing left to ask for");
}
