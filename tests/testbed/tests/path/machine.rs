//! A node that is a virtual machine: the only kind whose kernel is its own. It runs an older one, a newer one waits in Debian's security
//! pocket, and its baseline has nodes boot by kexec. Where a processor is emulated it takes minutes.

use std::fs;

use hozen_api::job::{Answer, AnswerResult, ErrorClass};
use hozen_testbed::{
    not_run,
    repository::{Package, Repository},
};
use serde_json::{Value, json};

use crate::{baseline_of, stage::Stage};

/// Nodes are numbered through, whatever they are.
const MACHINE: &str = "vm-4";
const TIER: &str = "machines";
/// The package by which a node follows Debian's kernels: it changes nothing itself and needs the newest.
const FOLLOWER: &str = "linux-image-cloud-amd64";
/// Of Debian only kernels: the rest of what is pending takes an emulated processor more minutes, and shows nothing.
const ONLY_KERNELS: &str = "Package: *\\nPin: release l=Debian-Security\\nPin-Priority: -1\\n\\n\
    Package: linux-image-*\\nPin: release l=Debian-Security\\nPin-Priority: 500\\n";

/// Adds the machine, and has people asked for its newer kernel; none where Debian has no newer one for it.
pub fn asked(stage: &mut Stage, test: &str) -> Option<Value> {
    stage.add_machine(MACHINE);
    let old = kernel(stage);
    if !has_newer_pending(stage, &old) {
        not_run(test, "Debian's security pocket, or a newer kernel in it");
        return None;
    }
    // Before it is anybody's, so that nobody is asked for what is no longer so.
    let kernels = json!({"running": old, "installed": old});
    stage.seen("one kernel is told", &["nodeinventory", MACHINE], |seen| {
        seen["report"]["kernel"] == kernels
    });
    let listed = stage.upgradable(MACHINE);
    stage.until("the scanner says what apt says", || {
        let reported = stage.reported(MACHINE);
        if reported == listed { Ok(()) } else { Err(format!("{reported:?} {listed:?}")) }
    });

    let all = stage.get(&["changerequests"]);
    let before = all["items"].as_array().unwrap().iter().map(crate::name).collect::<Vec<_>>();
    stage.kubectl(&["label", "node", MACHINE, &format!("tier={TIER}")]);
    let mut baseline = baseline_of(TIER, "dave");
    baseline["spec"]["rollout"]["reboot"] = json!({"method": "Kexec", "timeout": "15m"});
    stage.apply_as("dave", &baseline).says("created");
    let request = stage.asked_for(1, &before);
    let plan = &request["spec"]["plan"];
    assert_eq!(plan["execution"]["reboot"]["method"], "Kexec", "{plan:#}");
    let class = &plan["classes"][0];
    assert_eq!(class["reboot"], true, "{class:#}");
    let changes = stage.changes(class);
    let new = |change: &&String| change.starts_with("linux-image-") && change.contains(" - ");
    assert!(changes.len() == 2 && changes.iter().any(|change| new(&change)), "{changes:?}");
    assert!(changes.iter().any(|change| change.starts_with(&format!("{FOLLOWER}:"))));
    let shown = stage.hozen_as("alice", &["approve", crate::name(&request)]);
    let said = "nodes reboot by kexec, past firmware and boot loader";
    assert!(shown.out.contains(said), "{shown:?}");
    shown.refuses("nobody to ask");
    Some(request)
}

/// What people agreed to is done: the newer kernel is installed, started by the older one, and proven to run.
pub fn boots_its_newer_kernel_by_kexec(stage: &Stage, request: &Value) {
    let (old, powered) = (kernel(stage), starts(stage));
    let (uid, boot) = stage.identity(MACHINE);
    stage.agree(request);
    let follower = stage.version(MACHINE, FOLLOWER);
    stage.until("the newer kernel's package", || {
        let now = stage.version(MACHINE, FOLLOWER);
        if now != follower && now.ends_with(" installed") { Ok(()) } else { Err(now) }
    });
    let found = stage.seen("a newer kernel is installed", &["nodeinventory", MACHINE], |seen| {
        let kernel = &seen["report"]["kernel"];
        kernel["installed"].is_string() && kernel["installed"] != old.as_str()
    });
    let new = found["report"]["kernel"]["installed"].as_str().unwrap();
    assert_eq!(found["report"]["kernel"]["running"], old.as_str());
    let because = found["report"]["rebootRequired"]["because"].to_string();
    assert!(because.contains(&format!("newer kernel installed: {new}, {old} runs")), "{because}");
    stage.until("another boot", || {
        let now = stage.identity(MACHINE);
        if now.1.is_string() && now.1 != boot { Ok(()) } else { Err(format!("{now:?}")) }
    });
    stage.is_done_on(request, &[MACHINE]);

    assert_eq!(kernel(stage), new);
    let now = stage.identity(MACHINE);
    assert!(now.0 == uid && now.1 != boot, "it has not booted as itself: {now:?}");
    let found = stage.get(&["nodeinventory", MACHINE]);
    assert_eq!(found["report"]["bootID"], now.1, "the proof is a scan of this boot");
    assert_eq!(found["report"]["kernel"], json!({"running": new, "installed": new}));
    assert_eq!(found["report"]["rebootRequired"]["value"], false);
    let asked = stage.on(MACHINE, "cat /var/lib/hozen/work/reboot-*/reboot-asked-in-boot");
    assert_eq!(asked.trim(), boot.as_str().unwrap(), "it was asked for once");
    assert_eq!(starts(stage), powered, "its power supply has seen no reset");
    assert_eq!(stage.upgradable(MACHINE), [].into());
    stage.seen("as it must be", &["managednode", MACHINE], |record| {
        record["status"]["state"] == "Compliant" && record["status"]["activity"] == "PatchedActive"
    });
    let reboots = format!("NodeRebooting: {}: it reboots", crate::name(request));
    assert!(stage.told("Node", MACHINE).contains(&reboots));
    println!("{MACHINE} ran the kernel {old} and runs {new}, started by kexec");
}

/// A kernel that is locked down, as where the firmware started it by Secure Boot, takes none whose signature it does not know: the agent refuses
/// the same order for the next boot, and nothing is asked of the machine.
pub fn refuses_where_its_kernel_is_locked_down(stage: &Stage) {
    let before = stage.on(MACHINE, "cat /proc/sys/kernel/random/boot_id");
    let program = stage.folder("agent");
    fs::copy(&stage.agent, program.join("hozen-agent")).unwrap();
    stage.copy(MACHINE, &program, "/root/agent");
    let script = r#"cd /root/agent
        work=$(ls -d /var/lib/hozen/work/reboot-*)
        cp $work/plan.json $work/transaction .
        boot=$(cat /proc/sys/kernel/random/boot_id)
        sed "s/\"attempt\":1/\"attempt\":2/; s/\"bootID\":\"[^\"]*\"/\"bootID\":\"$boot\"/" $work/order.json >order.json
        echo integrity >/sys/kernel/security/lockdown
        code=0; ./hozen-agent reboot --orders=. --host=/ --answer=/root/agent/answer || code=$?
        cat answer; exit $((code - 3))"#;
    let said = stage.on(MACHINE, script);
    let answer = said.lines().last().unwrap_or_default();
    let answer: Answer = serde_json::from_str(answer).unwrap();
    let ended = (&answer.result, answer.class.as_ref());
    assert_eq!(ended, (&AnswerResult::Refused, Some(&ErrorClass::Unsupported)), "{said}");
    for word in ["which is locked down (integrity)", "not permitted", "method: Reboot"] {
        assert!(answer.message.contains(word), "{said}");
    }
    let now =
        stage.on(MACHINE, "cat /proc/sys/kernel/random/boot_id; cat /sys/kernel/kexec_loaded");
    assert_eq!(now, format!("{before}0\n"), "it goes on, and no kernel is loaded");
}

fn kernel(stage: &Stage) -> String {
    stage.on(MACHINE, "uname -r").trim().to_owned()
}

/// How often its power supply, which is its firmware and boot loader, has started it.
fn starts(stage: &Stage) -> usize {
    let log = stage.node_folder(MACHINE).join("console.log");
    fs::read_to_string(log).unwrap().matches(&format!("{MACHINE}: starting /boot/")).count()
}

/// Takes away the newer kernel that the machine was made with, so that its repository has one that it has not; whether that is so.
fn has_newer_pending(stage: &Stage, running: &str) -> bool {
    let build = r"uname -v | sed -n 's/.* Debian \([^ ]*\) .*/\1/p'";
    let build = stage.on(MACHINE, build).trim().to_owned();
    assert!(!build.is_empty(), "Debian's kernels say which build they are");
    // Debian's archives keep no older one than the newest.
    let follower = Repository::create(&stage.folder("follower"), "Tests").unwrap();
    let needs = format!("linux-image-{running}").leak();
    follower
        .publish(&[Package {
            name: FOLLOWER,
            version: build.leak(),
            depends: needs,
            ..Package::default()
        }])
        .unwrap();
    stage.copy(MACHINE, &follower.folder, "/root/follower");
    let others = "dpkg-query -W -f '${db:Status-Status} ${Package}\\n' 'linux-image-[0-9]*-cloud-amd64' | \
        sed -n 's/^installed //p' | grep -v \"^linux-image-$(uname -r)$\"";
    let script = format!(
        "export DEBIAN_FRONTEND=noninteractive; dpkg --install /root/follower/*.deb; rm -r /root/follower; dpkg --purge $({others})"
    );
    stage.on(MACHINE, &script);
    let sources = fs::read_to_string(stage.root().join("etc/apt/sources.list")).unwrap();
    let security: Vec<&str> = sources.lines().filter(|line| line.contains("-security ")).collect();
    let script = format!(
        "echo '{}' >/etc/apt/sources.list; printf '{ONLY_KERNELS}' >/etc/apt/preferences.d/kernels; apt-get update || true",
        security.join("\n")
    );
    stage.on(MACHINE, &script);
    let pending = stage.upgradable(MACHINE);
    pending.len() == 1 && pending.iter().all(|one| one.starts_with(&format!("{FOLLOWER}:")))
}
