//! Where the programs of a cluster are: built from `tests/cluster/go.mod` by `tests/bin/cluster-binaries`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::error::Error;

/// What builds them and says where they are.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../bin/cluster-binaries");

/// A folder that holds kube-apiserver, etcd, kubelet, containerd and the rest, all of one build.
#[derive(Debug, Clone)]
pub struct Programs {
    folder: PathBuf,
}

/// Whether programs that are not there may be built, which takes minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Missing {
    /// Build them, showing progress on stderr.
    Build,
    /// Say so.
    #[default]
    Refuse,
}

/// Which version of Kubernetes: the names are those of folders under `tests/cluster`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kubernetes {
    /// The one that Hozen is developed against.
    #[default]
    #[value(name = "1.37")]
    Current,
    /// The oldest that Hozen supports.
    #[value(name = "1.33")]
    Oldest,
}

impl Kubernetes {
    /// Whether a whole version, `v1.37.2`, is one of these.
    pub fn is(self, version: &str) -> bool {
        let minor = match self {
            Self::Current => "v1.37.",
            Self::Oldest => "v1.33.",
        };
        version.starts_with(minor)
    }

    /// The version that `HOZEN_KUBERNETES` asks the tests to run on, else the current one.
    pub fn asked() -> Result<Self, Error> {
        match std::env::var("HOZEN_KUBERNETES") {
            Ok(name) => <Self as clap::ValueEnum>::from_str(&name, false)
                .map_err(|_| Error::UnknownKubernetes { name }),
            Err(_) => Ok(Self::default()),
        }
    }

    /// The folder of an older version under `tests/cluster`.
    fn folder(self) -> Option<&'static str> {
        match self {
            Self::Current => None,
            Self::Oldest => Some("1.33"),
        }
    }
}

impl Programs {
    /// The programs of the current version.
    pub fn find(missing: Missing) -> Result<Self, Error> {
        Self::of(Kubernetes::Current, missing)
    }

    /// Asks the build script for the folder.
    pub fn of(kubernetes: Kubernetes, missing: Missing) -> Result<Self, Error> {
        let mut command = Command::new(SCRIPT);
        command.stderr(Stdio::inherit());
        if missing == Missing::Refuse {
            command.arg("--cached").stderr(Stdio::piped());
        }
        Self::asked_of(command.args(kubernetes.folder()))
    }

    /// Those of the current version, built with everything that is cached in a folder of its own.
    pub fn build_in(cache: &Path) -> Result<Self, Error> {
        let mut command = Command::new(SCRIPT);
        command.env("XDG_CACHE_HOME", cache).env("GOCACHE", cache.join("go"));
        Self::asked_of(command.stderr(Stdio::inherit()))
    }

    fn asked_of(script: &mut Command) -> Result<Self, Error> {
        let output = script.stdin(Stdio::null()).output();
        let output = output.map_err(Error::io(format!("run {SCRIPT}")))?;
        if !output.status.success() {
            return Err(Error::MissingProgram {
                program: "a finished build of the cluster's programs".into(),
                remedy: String::from_utf8_lossy(&output.stderr)
                    .lines()
                    .last()
                    .unwrap_or("tests/bin/cluster-binaries has said why")
                    .to_owned(),
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
