//! `hozen scan`: one system as a node's scanner sees it, written as manifests.

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Args, ValueEnum};
use hozen_advisory::{
    package::Package,
    sbom::{Subject, SubjectKind, write_cyclonedx},
};
use hozen_agent::{
    manifests::{Manifests, node_name},
    root::{ReadError, Root},
    scan::{Ask, Options, Scan, scan},
    staging,
};
use hozen_api::node_inventory::NotRead;
use hozen_intake::problem::nearest;
use jiff::Timestamp;
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
    low_level::emulate_default_handler,
};

/// Most packages of one source that are named.
const INSTEAD_MAX: usize = 20;

/// Scan this machine, or a root folder, and write what a node's scanner would report.
#[derive(Args, Debug)]
pub struct ScanArgs {
    /// Folder that holds the root of the system.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t = Format::Yaml)]
    output: Format,
    /// Name of the node; the machine's own name if not given.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Do not ask the package manager what it would do: faster, and without Transactions.
    #[arg(long)]
    no_resolve: bool,
    /// Resolve these packages, too, under a name of their own.
    #[arg(long, value_name = "NAME=PACKAGE[,PACKAGE…]", value_parser = ask)]
    resolve: Vec<Ask>,
    /// Resolve the removal of these packages, and of what needs them, under a name of its own.
    #[arg(long, value_name = "NAME=PACKAGE[,PACKAGE…]", value_parser = removal)]
    remove: Vec<Ask>,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Manifests: NodeInventory, PackageSet, Transactions.
    Yaml,
    /// The same as one list.
    Json,
    /// The installed packages as a bill of materials, CycloneDX 1.6.
    Cyclonedx,
}

/// Why a scan could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The root cannot be opened.
    #[error("the root {} cannot be scanned", path.display())]
    Root {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// Nothing below the root says that a system is there.
    #[error(
        "there is no system under {}: no etc/os-release, and no package database of dpkg, rpm or apk; write the folder that holds etc, usr and var", path.display()
    )]
    Empty {
        /// The folder.
        path: PathBuf,
    },
    /// The output cannot be written.
    #[error("the scan could not be written")]
    Output(#[from] std::io::Error),
    /// The manifests cannot be written as JSON.
    #[error("the scan could not be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The manifests cannot be written as YAML.
    #[error("the scan could not be written as YAML")]
    Yaml(#[from] serde_yaml::Error),
}

fn ask(text: &str) -> Result<Ask, String> {
    let (name, packages) = named(text, "dsa-6123-1=openssl,libssl3")?;
    Ok(Ask { name, packages, ..Ask::default() })
}

fn removal(text: &str) -> Result<Ask, String> {
    let (name, remove) = named(text, "forbidden-packages=telnetd")?;
    Ok(Ask { name, remove, ..Ask::default() })
}

fn named(text: &str, like: &str) -> Result<(String, Vec<String>), String> {
    let (name, packages) = text
        .split_once('=')
        .ok_or_else(|| format!("write NAME=PACKAGE,PACKAGE, for example {like}"))?;
    let packages: Vec<String> =
        packages.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
    if name.is_empty() || packages.is_empty() || ["security", "all"].contains(&name) {
        return Err("needs a name (not `security`, not `all`: they are always there) and packages"
            .to_owned());
    }
    Ok((name.to_owned(), packages))
}

/// Runs the command at the time `now`.
pub fn run(args: &ScanArgs, now: Timestamp) -> Result<ExitCode, ScanError> {
    leave_nothing_behind()?;
    let root = Root::open(&args.root)
        .map_err(|source| ScanError::Root { path: args.root.clone(), source })?;
    let options = Options {
        now,
        // A bill of materials has no room for transactions.
        resolve: !args.no_resolve && args.output != Format::Cyclonedx,
        asks: args.resolve.iter().chain(&args.remove).cloned().collect(),
        chamber: None,
        own: None,
    };
    let found = scan(&root, &options);
    let system = ["etc/os-release", "usr/lib/os-release"].iter().any(|file| root.has(file));
    if !system && found.packages.packages.is_empty() {
        return Err(ScanError::Empty { path: args.root.clone() });
    }
    let name = args.name.clone().unwrap_or_else(|| node_name(&root));
    let text = render(&name, &found, args.output)?;
    for NotRead { what, why, .. } in &found.report.not_read {
        // It stands in the report too; where even stderr is closed, only there.
        let _ = writeln!(std::io::stderr(), "not read: {what}: {why}");
    }
    for told in args.resolve.iter().flat_map(|ask| without_update(ask, &found)) {
        let _ = writeln!(std::io::stderr(), "--resolve {told}");
    }
    for told in args.remove.iter().flat_map(|ask| not_there(ask, &found)) {
        let _ = writeln!(std::io::stderr(), "--remove {told}");
    }
    match std::io::stdout().lock().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        outcome => outcome?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Packages that were asked for and that nothing can be done for, each with why and what to write instead.
fn without_update(ask: &Ask, found: &Scan) -> Vec<String> {
    let installed = &found.packages.packages;
    let told = |name: &String| {
        let here = installed.iter().find(|package| package.name == *name);
        let update = found.updates.iter().find(|update| update.name == *name);
        let why = match (here, update) {
            (_, Some(update)) if update.held => {
                format!("{name} is held back here: lift the hold, or leave it out, and scan again")
            }
            (_, Some(_)) => return None,
            (Some(package), None) => format!(
                "{name} {} is installed, and no index that is read here offers a newer version: leave it out",
                package.version
            ),
            (None, None) => not_installed(name, installed),
        };
        Some(format!("{}={name}: {why}", ask.name))
    };
    ask.packages.iter().filter_map(told).collect()
}

/// Packages that were to be removed and that are not there, each with what to write instead.
fn not_there(ask: &Ask, found: &Scan) -> Vec<String> {
    let installed = &found.packages.packages;
    let absent = ask.remove.iter().filter(|name| installed.iter().all(|of| of.name != **name));
    absent.map(|name| format!("{}={name}: {}", ask.name, not_installed(name, installed))).collect()
}

/// What to write instead of a name that no installed package has.
fn not_installed(name: &str, installed: &[Package]) -> String {
    let built: BTreeSet<&str> = installed
        .iter()
        .filter(|package| package.source().0 == name)
        .map(|package| package.name.as_str())
        .collect();
    if !built.is_empty() {
        let built: Vec<&str> = built.into_iter().take(INSTEAD_MAX).collect();
        return format!(
            "{name} is a source package; write what it is installed as: {}",
            built.join(",")
        );
    }
    let names = installed.iter().map(|package| package.name.as_str());
    let near = nearest(name, names).map_or_else(
        || "write the name of an installed package, as the package manager lists it".to_owned(),
        |near| format!("did you mean {near}?"),
    );
    format!("no package {name} is installed here; {near}")
}

/// A scan that somebody ends leaves no copy of the package manager's state.
fn leave_nothing_behind() -> std::io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            staging::remove_all_for_good();
            // It ends the process, by the same signal; where that failed the next one is taken.
            let _ = emulate_default_handler(signal);
        }
    });
    Ok(())
}

fn render(name: &str, scan: &Scan, format: Format) -> Result<String, ScanError> {
    let values = || Manifests::new(name, scan).values();
    Ok(match format {
        Format::Yaml => {
            let mut text = String::new();
            for value in values()? {
                text.push_str("---\n");
                text.push_str(&serde_yaml::to_string(&value)?);
            }
            text
        }
        Format::Json => {
            let list =
                serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": values()? });
            serde_json::to_string_pretty(&list)? + "\n"
        }
        Format::Cyclonedx => {
            let subject = Subject {
                kind: SubjectKind::Device,
                name: name.to_owned(),
                version: String::new(),
            };
            let scanned = Some(scan.report.scanned_at);
            write_cyclonedx(&scan.packages, &subject, scanned, env!("CARGO_PKG_VERSION"))
        }
    })
}
