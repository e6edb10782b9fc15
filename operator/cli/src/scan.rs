//! `hozen scan`: one system as a node's scanner sees it, written as manifests.

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};
use hozen_agent::{
    manifests::{Manifests, node_name},
    root::{ReadError, Root},
    scan::{Ask, Options, Scan, scan},
};
use jiff::Timestamp;

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
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Manifests: NodeInventory, PackageSet, Transactions.
    Yaml,
    /// The same as one list.
    Json,
}

/// Why a scan could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The root cannot be opened.
    #[error("the root {} {source}", path.display())]
    Root {
        /// The folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// The output cannot be written.
    #[error("the scan could not be written ({0})")]
    Output(#[from] std::io::Error),
    /// The manifests cannot be written as JSON.
    #[error("the scan could not be written as JSON ({0})")]
    Json(#[from] serde_json::Error),
    /// The manifests cannot be written as YAML.
    #[error("the scan could not be written as YAML ({0})")]
    Yaml(#[from] serde_yaml::Error),
}

fn ask(text: &str) -> Result<Ask, String> {
    let (name, packages) = text
        .split_once('=')
        .ok_or("write NAME=PACKAGE,PACKAGE, for example dsa-6123-1=openssl,libssl3")?;
    let packages: Vec<String> = packages
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if name.is_empty() || packages.is_empty() || ["security", "all"].contains(&name) {
        return Err(
            "needs a name (not `security`, not `all`: they are always there) and packages"
                .to_owned(),
        );
    }
    Ok(Ask {
        name: name.to_owned(),
        packages,
    })
}

/// Runs the command at the time `now`.
pub fn run(args: &ScanArgs, now: Timestamp) -> Result<ExitCode, ScanError> {
    let root = Root::open(&args.root).map_err(|source| ScanError::Root {
        path: args.root.clone(),
        source,
    })?;
    let options = Options {
        now,
        resolve: !args.no_resolve,
        asks: args.resolve.clone(),
    };
    let found = scan(&root, &options);
    let name = args.name.clone().unwrap_or_else(|| node_name(&root));
    let mut output = std::io::stdout().lock();
    write(&name, &found, args.output, &mut output)?;
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write(
    name: &str,
    scan: &Scan,
    format: Format,
    output: &mut impl Write,
) -> Result<(), ScanError> {
    let values = Manifests::new(name, scan).values()?;
    match format {
        Format::Yaml => {
            for value in values {
                writeln!(output, "---")?;
                serde_yaml::to_writer(&mut *output, &value)?;
            }
        }
        Format::Json => {
            let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": values });
            serde_json::to_writer_pretty(&mut *output, &list)?;
            writeln!(output)?;
        }
    }
    Ok(())
}
