//! What a Job is told to do, read as the files that the operator has mounted, and checked before anything else happens.

use std::{fs, io::Read, path::Path};

use hozen_advisory::package::{Transaction, digest};
use hozen_api::{
    common::RebootMethod,
    job::{
        ANSWER_BYTES_MAX, ErrorClass, ORDER_FILE, Order, PLAN_FILE, SCRIPT_FILE, TRANSACTION_FILE,
        kind,
    },
    managed_node::Step,
};

use serde_json::Value;

use super::Failure;
use crate::root::Root;

/// A `ConfigMap` holds a mebibyte in all.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Longest word of an order that becomes part of a path or an answer.
const WORD_BYTES_MAX: usize = 128;
const _: () = assert!(ANSWER_BYTES_MAX > 2 * WORD_BYTES_MAX);

/// An order, and the transaction that it names; empty where no package changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    /// What is to be done.
    pub order: Order,
    /// What becomes of which package; none where no package changes.
    pub transaction: Option<Transaction>,
    /// How the host boots in the course of this; none where the plan has it boot for none of it.
    pub boot: Option<RebootMethod>,
}

/// Texts of the three files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Texts {
    /// The order.
    pub order: String,
    /// The plan.
    pub plan: String,
    /// The transaction's lines.
    pub transaction: String,
    /// The script, where there is one.
    pub script: Option<String>,
}

impl Texts {
    /// Reads the files of a folder.
    pub fn read(folder: &Path) -> Result<Self, Failure> {
        Ok(Self {
            order: read(&folder.join(ORDER_FILE))?,
            plan: read(&folder.join(PLAN_FILE))?,
            transaction: read(&folder.join(TRANSACTION_FILE))?,
            script: match folder.join(SCRIPT_FILE) {
                path if path.exists() => Some(read(&path)?),
                _ => None,
            },
        })
    }

    /// Checks that the files are what they say, and belong together.
    pub fn check(&self) -> Result<Assignment, Failure> {
        let order: Order = serde_json::from_str(&self.order)
            .map_err(|error| refuse(format!("the order cannot be read ({error})")))?;
        let words = [&order.request_uid, &order.plan_digest, &order.transaction, &order.node_uid];
        if words.iter().any(|word| !is_word(word)) {
            return Err(refuse("a word of the order is empty, too long or not printable"));
        }
        if digest(&self.plan) != order.plan_digest {
            return Err(refuse(format!("the plan is not {}", order.plan_digest)));
        }
        if digest(&self.transaction) != order.transaction {
            return Err(refuse(format!("the transaction is not {}", order.transaction)));
        }
        let plan: Value = serde_json::from_str(&self.plan)
            .map_err(|error| refuse(format!("the plan cannot be read ({error})")))?;
        let class = class_of(&plan, &order.transaction);
        let transaction = if self.transaction.is_empty() {
            None
        } else {
            // The digest has to be that of an approved class, not only that of the file beside it.
            class.ok_or_else(|| refuse("no class of the plan has this transaction"))?;
            let parsed = Transaction::parse(&self.transaction);
            Some(parsed.map_err(|error| refuse(format!("the transaction: {error}")))?)
        };
        let boot = boot(&order, &plan, class)?;
        self.check_script(transaction.as_ref())?;
        let of_packages = matches!(order.step, Step::Prefetch | Step::Patch | Step::Rollback);
        if of_packages && transaction.is_none() {
            return Err(refuse("the order changes packages, and its transaction is empty"));
        }
        // To apt nothing a second is no limit.
        if order.download_bytes_per_second == Some(0) {
            return Err(refuse("the order limits a prefetch to nothing"));
        }
        Ok(Assignment { order, transaction, boot })
    }

    /// A script is there exactly where a line names one, and is the one that the line names.
    fn check_script(&self, transaction: Option<&Transaction>) -> Result<(), Failure> {
        let changes = transaction.map(|transaction| &*transaction.changes).unwrap_or_default();
        let named = changes.iter().find(|change| change.arch == kind::SCRIPT);
        match (named, &self.script) {
            (None, None) => Ok(()),
            (Some(named), Some(script))
                if digest(script) == format!("sha256-{}", named.archive) =>
            {
                Ok(())
            }
            (Some(named), Some(_)) => Err(refuse(format!("the script is not {}", named.archive))),
            (Some(named), None) => Err(refuse(format!("the script {} is not there", named.name))),
            (None, Some(_)) => Err(refuse("there is a script, and the transaction names none")),
        }
    }
}

/// The class of a plan with this transaction.
fn class_of<'p>(plan: &'p Value, transaction: &str) -> Option<&'p Value> {
    let classes = plan.get("classes").and_then(Value::as_array);
    let named =
        |class: &&Value| class.get("transaction").and_then(Value::as_str) == Some(transaction);
    classes.into_iter().flatten().find(named)
}

/// How the host boots, if the plan has it boot. It boots as the plan says that people approved: an order that says something else is none.
fn boot(
    order: &Order,
    plan: &Value,
    class: Option<&Value>,
) -> Result<Option<RebootMethod>, Failure> {
    let reboot = plan.pointer("/execution/reboot");
    let said = |key: &str| reboot.and_then(|reboot| reboot.get(key)).and_then(Value::as_str);
    let class_says = class.and_then(|class| class.get("reboot")).and_then(Value::as_bool);
    let due = match said("policy") {
        _ if order.step == Step::Reboot => true,
        Some("Always") => true,
        Some("Never") => false,
        _ => class_says == Some(true),
    };
    if !due {
        return Ok(None);
    }
    let approved = said("method").map_or(RebootMethod::Reboot, RebootMethod::from);
    if let RebootMethod::Unknown(word) = &approved {
        let known = RebootMethod::KNOWN.join(" and ");
        return Err(refuse(format!("the plan has hosts boot by {word}, this agent knows {known}")));
    }
    let ordered = order.reboot_method.as_ref().unwrap_or(&RebootMethod::Reboot);
    if order.step == Step::Reboot && *ordered != approved {
        return Err(refuse(format!("the order is to boot by {ordered}, the plan by {approved}")));
    }
    Ok(Some(approved))
}

/// Refuses a host that is not the order's: a node that was rebuilt under the same name.
pub fn check_host(order: &Order, root: &Root) -> Result<(), Failure> {
    let Some(wanted) = &order.machine_id else {
        return Ok(());
    };
    let found = root.text("etc/machine-id", 4096).unwrap_or_default();
    if found.trim() == wanted {
        return Ok(());
    }
    let message = format!("the host's machine id is {}, the order's is {wanted}", found.trim());
    Err(Failure::before(ErrorClass::Host, message))
}

fn is_word(word: &str) -> bool {
    (1..=WORD_BYTES_MAX).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_graphic())
}

fn refuse(message: impl Into<String>) -> Failure {
    Failure::before(ErrorClass::Order, message)
}

fn read(path: &Path) -> Result<String, Failure> {
    let failed =
        |error: std::io::Error| refuse(format!("{} cannot be read ({error})", path.display()));
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(refuse(format!("{} is larger than {FILE_BYTES_MAX} bytes", path.display())));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn booted(
        step: &str,
        ordered: Option<&str>,
        plan: &Value,
    ) -> Result<Option<RebootMethod>, String> {
        let mut order = json!({"node": "a", "nodeUID": "n", "requestUID": "r", "step": step, "attempt": 1,
            "planDigest": "p", "transaction": "t", "deadline": "2026-11-30T00:00:00Z"});
        if let Some(method) = ordered {
            order["rebootMethod"] = method.into();
        }
        let order: Order = serde_json::from_value(order).unwrap();
        boot(&order, plan, class_of(plan, "t")).map_err(|failure| failure.message)
    }

    fn plan(policy: &str, class: bool, method: Option<&str>) -> Value {
        let classes = json!([{"transaction": "t", "reboot": class}]);
        let mut reboot = json!({"policy": policy, "timeout": "10m", "max": 1});
        if let Some(method) = method {
            reboot["method"] = method.into();
        }
        json!({"classes": classes, "execution": {"reboot": reboot}})
    }

    #[test]
    fn i12_a_host_boots_as_its_plan_says_and_an_order_that_says_otherwise_is_refused() {
        let (kexec, whole) = (plan("AsNeeded", true, Some("Kexec")), plan("AsNeeded", true, None));
        assert_eq!(booted("Reboot", Some("Kexec"), &kexec), Ok(Some(RebootMethod::Kexec)));
        assert_eq!(booted("Reboot", None, &whole), Ok(Some(RebootMethod::Reboot)));
        // Plans of tools and of mitigations may say nothing of reboots at all.
        assert_eq!(booted("Reboot", None, &json!({})), Ok(Some(RebootMethod::Reboot)));
        let refused = booted("Reboot", None, &kexec).unwrap_err();
        assert_eq!(refused, "the order is to boot by Reboot, the plan by Kexec");
        let refused = booted("Reboot", Some("Kexec"), &whole).unwrap_err();
        assert_eq!(refused, "the order is to boot by Kexec, the plan by Reboot");
        let newer = plan("AsNeeded", true, Some("Levitate"));
        let refused = booted("Reboot", Some("Levitate"), &newer).unwrap_err();
        assert_eq!(
            refused,
            "the plan has hosts boot by Levitate, this agent knows Reboot and Kexec"
        );
    }

    #[test]
    fn a_patch_knows_how_its_host_boots_afterwards_if_it_does() {
        let after = |policy, class, method| booted("Patch", None, &plan(policy, class, method));
        let kexec = Ok(Some(RebootMethod::Kexec));
        assert_eq!(after("AsNeeded", true, Some("Kexec")), kexec);
        assert_eq!(after("Always", false, Some("Kexec")), kexec);
        assert_eq!(after("AsNeeded", false, Some("Kexec")), Ok(None));
        assert_eq!(after("Never", true, Some("Kexec")), Ok(None));
        assert_eq!(after("Always", false, None), Ok(Some(RebootMethod::Reboot)));
    }
}
