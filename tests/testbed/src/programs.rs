//! Where the programs of a cluster are: built from `tests/cluster/go.mod` by `tests/bin/cluster-binaries`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::error::Error;

/// A folder that holds kube-apiserver, etcd, kubelet, containerd and the rest, all of one build.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

/// Whether programs that are not there may be built, which takes minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// Build them, showing progress on stderr.
    Build,
    /// Say so.
    Refuse,
}

impl Programs {
    /// Asks the build script for the folder.
    pub fn find(missing: Missing) -> Result<Self, Error> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../bin/cluster-binaries");
        let mut command = Command::new(script);
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        if missing == Missing::Refuse {
            command.arg("--cached").stderr(Stdio::null());
        }
        let output = command.output().map_err(Error::io(format!("run {script}")))?;
        if !output.status.success() {
            return Err(Error::MissingProgram {
                program: "a finished build of the cluster's programs".into(),
                remedy: "run tests/bin/cluster-binaries (some minutes, once)".into(),
            });
        }
        Ok(Self::at(PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())))
    }

    /// The programs in a folder that an earlier `find` gave.
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The path of one of them.
    pub fn path(&self, program: &str) -> PathBuf {
        self.folder.join(program)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The version of Kubernetes that they are, as `v1.37.2`.
    pub fn kubernetes(&self) -> Result<String, Error> {
        let file = self.path("complete");
        let version =
            fs::read_to_string(&file).map_err(Error::io(format!("read {}", file.display())))?;
        Ok(version.trim().to_owned())
    }
}
