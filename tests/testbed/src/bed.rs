//! One test bed: its folder, its numbers, what it consists of, and the lock that keeps two commands apart.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    Wanted,
    error::Error,
    network,
    number::{self, BEDS_MAX, Numbers},
    packages::Packages,
    programs::Programs,
};

/// Ports of bed 0 begin here; below the range that Linux gives to outgoing connections.
const FIRST_PORT: u16 = 21_000;
/// Ports that belong to one bed.
const PORTS_EACH: u16 = 10;
/// What must be free where beds live: etcd alone takes 64 MB before its first write, and ends without a word about the disk
/// where it cannot.
const ROOM_MEGABYTES: u64 = 256;
/// Names become parts of names of files, and those of nodes are the cluster's too: short and plain.
const NAME_LENGTH_MAX: usize = 20;

/// What a bed is made of. Written before the first thing is made, so that `down` knows what to look for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct State {
    /// Which of the sixteen numbers it has: all ports, addresses and names on the host follow from it.
    pub index: u8,
    /// Whether it has a network for real nodes.
    pub network: bool,
    /// How many fake nodes it has.
    pub fake: u32,
    /// The version of Kubernetes.
    pub kubernetes: String,
    /// The folder of the programs that it runs.
    pub programs: PathBuf,
    /// What is pending on its real nodes.
    #[serde(default)]
    pub packages: Packages,
    /// The folder that its real nodes lie over, once there is one.
    pub root: Option<PathBuf>,
    /// What lies between that folder and the nodes' own files, if anything does.
    #[serde(default)]
    pub layer: Option<PathBuf>,
    /// Its real nodes by name.
    pub nodes: BTreeMap<String, NodeState>,
    /// Whether the host forwarded packets before this bed came.
    pub forwarded_before: bool,
    /// A digest of the host's own rules for what it forwards, before this bed came, where they could be read.
    #[serde(default)]
    pub rules_before: Option<String>,
}

/// What is remembered of a real node.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct NodeState {
    /// Its number in the bed, from 1: its addresses follow from it.
    pub number: u8,
    /// Whether its link is cut.
    pub partitioned: bool,
    /// Whether its removal has begun: it only ends, and is never turned on again.
    #[serde(default)]
    pub going: bool,
    /// What its system runs in.
    #[serde(default)]
    pub kind: Kind,
}

/// What the system of a real node runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Kind {
    /// Namespaces of this host: quick and small, on the host's kernel and clock.
    #[default]
    Namespaces,
    /// A virtual machine, with a kernel, a clock and control groups of its own.
    Vm,
}

/// The ports of a bed, all on the host's own addresses.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// etcd for its clients.
    pub etcd: u16,
    /// etcd for its peers, of which there are none.
    pub etcd_peer: u16,
    /// kube-apiserver.
    pub apiserver: u16,
    /// kube-controller-manager.
    pub controller_manager: u16,
    /// kube-scheduler.
    pub scheduler: u16,
    /// kwok.
    pub kwok: u16,
    /// The door to virtual machines, on an address of loopback for each.
    pub ssh: u16,
}

impl State {
    /// Its ports.
    pub fn ports(&self) -> Ports {
        ports(self.index)
    }

    /// The address at which the API server listens: the host's end of the bridge, or loopback where there is none.
    pub fn address(&self) -> Ipv4Addr {
        if self.network { Ipv4Addr::new(10, self.net(), 0, 1) } else { Ipv4Addr::LOCALHOST }
    }

    /// The second number of all its addresses: 10.N.0.0/16.
    pub fn net(&self) -> u8 {
        net(self.index)
    }

    /// The URL of the API server.
    pub fn server(&self) -> String {
        format!("https://{}:{}", self.address(), self.ports().apiserver)
    }

    /// What the names of its bridge, links and cgroups begin with.
    pub fn prefix(&self) -> String {
        prefix(self.index)
    }
}

/// The second number of all addresses of a number's bed.
pub(crate) const fn net(index: u8) -> u8 {
    99 + index
}

/// What the names of a number's bridge, links and cgroups begin with.
pub(crate) fn prefix(index: u8) -> String {
    format!("hz{index}")
}

fn ports(index: u8) -> Ports {
    let first = FIRST_PORT + u16::from(index) * PORTS_EACH;
    Ports {
        etcd: first,
        etcd_peer: first + 1,
        apiserver: first + 2,
        controller_manager: first + 3,
        scheduler: first + 4,
        kwok: first + 5,
        ssh: first + 9,
    }
}

/// A bed: of [`Bed::open`] one that this command, and no other, works on, until it is dropped; of [`Bed::look`] one that is only
/// looked at, whoever works on it.
#[derive(Debug)]
pub struct Bed {
    /// Its name.
    pub name: String,
    /// The folder that holds everything of it.
    pub folder: PathBuf,
    home: PathBuf,
    _lock: Option<File>,
}

/// Where beds live: `HOZEN_TESTBED_HOME`, or `hozen/testbed` under the user's state folder.
pub fn home() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    variable("HOZEN_TESTBED_HOME").map_or_else(
        || {
            let state = variable("XDG_STATE_HOME").map_or_else(
                || PathBuf::from(variable("HOME").unwrap_or("/root".into())).join(".local/state"),
                PathBuf::from,
            );
            state.join("hozen/testbed")
        },
        PathBuf::from,
    )
}

impl Bed {
    /// Takes the bed of this name, whether it is up or not.
    pub fn open(home: &Path, name: &str) -> Result<Self, Error> {
        let bed = Self::look(home, name)?;
        let home = &bed.home;
        fs::create_dir_all(home).map_err(Error::io(format!("create {}", home.display())))?;
        let file = home.join(format!("{name}.lock"));
        let lock = loop {
            let lock = lock(&file, name)?;
            // The file that was locked may be one that `forget` has removed meanwhile.
            if is_at(&lock, &file) {
                break lock;
            }
        };
        Ok(Self { _lock: Some(lock), ..bed })
    }

    /// The bed of this name as it is, also while another command works on it: its state is always whole.
    pub fn look(home: &Path, name: &str) -> Result<Self, Error> {
        check_name(name)?;
        // The number that it takes leads to its folder from elsewhere.
        let home = std::path::absolute(home);
        let home = home.map_err(Error::io("find the folder of all beds"))?;
        Ok(Self { name: name.to_owned(), folder: home.join(name), home, _lock: None })
    }

    /// Removes the file by which commands wait for each other, when nothing else of the bed is there.
    pub fn forget(self) -> Result<(), Error> {
        let file = self.home.join(format!("{}.lock", self.name));
        fs::remove_file(&file).map_err(Error::io(format!("remove {}", file.display())))
    }

    /// What the bed consists of; nothing if it is not up.
    pub fn state(&self) -> Result<Option<State>, Error> {
        state_in(&self.folder)
    }

    /// What the bed consists of; an error if it is not up.
    pub fn up(&self) -> Result<State, Error> {
        self.state()?.ok_or_else(|| Error::NotUp { bed: self.name.clone() })
    }

    /// Writes the state down, whole or not at all.
    pub fn save(&self, state: &State) -> Result<(), Error> {
        let path = self.folder.join("state.json");
        let doing = || format!("write {}", path.display());
        let text = serde_json::to_string_pretty(state)
            .map_err(|source| Error::BadState { path: path.clone(), source })?;
        let next = path.with_extension("next");
        fs::write(&next, text).map_err(Error::io(doing()))?;
        fs::rename(&next, &path).map_err(Error::io(doing()))
    }

    /// Takes a free number and makes the folder. Beds that start at the same moment wait for each other here.
    pub fn create(&self, programs: &Programs, wanted: Wanted) -> Result<State, Error> {
        self.create_with(&Numbers::lock(Path::new(number::PLACE))?, programs, wanted)
    }

    fn create_with(
        &self,
        numbers: &Numbers,
        programs: &Programs,
        wanted: Wanted,
    ) -> Result<State, Error> {
        let doing = format!("look at {}", self.home.display());
        let free = free_megabytes(&self.home).map_err(Error::io(doing))?;
        if free < ROOM_MEGABYTES {
            let home = self.home.clone();
            return Err(Error::NoRoom { home, free, needed: ROOM_MEGABYTES });
        }
        let mut example = "other beds have them all".to_owned();
        for index in 0..BEDS_MAX {
            let mut used = port_in_use(index).or_else(|| network::link_in_use(index));
            if used.is_none() && wanted.nodes.is_some() {
                used = network::addresses_in_use(index)?;
            }
            if let Some(used) = used {
                example = used;
                continue;
            }
            if !numbers.take(index, &self.folder) {
                continue;
            }
            for folder in ["pki", "run", "logs", "nodes"] {
                let folder = self.folder.join(folder);
                fs::create_dir_all(&folder)
                    .map_err(Error::io(format!("create {}", folder.display())))?;
            }
            let network = wanted.nodes.is_some();
            // The first of those that are there has found the host as it was; they all remember that.
            let first = numbers.others_with_network(&self.folder).into_iter().flatten().next();
            let (forwarded_before, rules_before) = first.map_or_else(
                || (network::forwards(), network.then(network::rules_of_others).transpose().ok()),
                |first| (first.forwarded_before, Some(first.rules_before)),
            );
            let state = State {
                index,
                network,
                fake: wanted.fake,
                kubernetes: programs.kubernetes()?,
                programs: programs.folder().to_owned(),
                packages: wanted.packages,
                root: None,
                layer: None,
                nodes: BTreeMap::new(),
                forwarded_before,
                rules_before: rules_before.flatten(),
            };
            self.save(&state)?;
            return Ok(state);
        }
        Err(Error::NoPorts { beds: BEDS_MAX, example })
    }

    /// The admin's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }
}

/// Whether a bed or a node may have this name: Kubernetes takes it for a node, and every file system for a file.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let is_good = name.len() <= NAME_LENGTH_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(plain);
    if is_good { Ok(()) } else { Err(Error::BadName { name: name.to_owned() }) }
}

/// How many megabytes may be written to the disk of a folder.
pub(crate) fn free_megabytes(folder: &Path) -> std::io::Result<u64> {
    let disk = rustix::fs::statvfs(folder)?;
    Ok(disk.f_bavail * disk.f_frsize / 1_000_000)
}

/// Locks the file of a bed, which may be new.
fn lock(file: &Path, name: &str) -> Result<File, Error> {
    let lock = File::create(file).map_err(Error::io(format!("create {}", file.display())))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Busy { bed: name.to_owned() }),
        Err(fs::TryLockError::Error(source)) => {
            Err(Error::Io { doing: format!("lock {}", file.display()), source })
        }
    }
}

/// Whether an open file is the one at this path.
fn is_at(file: &File, path: &Path) -> bool {
    let number = |data: fs::Metadata| (data.dev(), data.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => number(open) == number(there),
        _ => false,
    }
}

/// What the bed in a folder consists of; nothing if it is not up.
pub(crate) fn state_in(folder: &Path) -> Result<Option<State>, Error> {
    let path = folder.join("state.json");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            return Err(Error::Io { doing: format!("read {}", path.display()), source });
        }
    };
    serde_json::from_slice(&text).map(Some).map_err(|source| Error::BadState { path, source })
}

/// A port of this number's range that something else listens on, if there is one.
fn port_in_use(index: u8) -> Option<String> {
    let ports = ports(index);
    let named = [
        ("etcd", ports.etcd),
        ("etcd", ports.etcd_peer),
        ("kube-apiserver", ports.apiserver),
        ("kube-controller-manager", ports.controller_manager),
        ("kube-scheduler", ports.scheduler),
        ("kwok", ports.kwok),
        ("ssh", ports.ssh),
    ];
    named
        .iter()
        .find(|(_, port)| TcpListener::bind((Ipv4Addr::UNSPECIFIED, *port)).is_err())
        .map(|(name, port)| format!("port {port}, for {name}"))
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, thread};

    use super::*;
    use crate::programs::Programs;

    /// A folder that stands for the host's, and programs that are none.
    fn host() -> (tempfile::TempDir, Programs) {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("complete"), "v1.37.2\n").unwrap();
        let programs = Programs::at(place.path().to_owned());
        (place, programs)
    }

    fn create(bed: &Bed, place: &Path, programs: &Programs) -> Result<State, Error> {
        bed.create_with(&Numbers::lock(place)?, programs, Wanted::default())
    }

    #[test]
    fn a_number_with_a_port_in_use_is_passed_over_and_no_number_at_all_is_said() {
        let ((place, programs), home) = (host(), tempfile::tempdir().unwrap());
        let bed = Bed::open(home.path(), "ports").unwrap();
        let first = create(&bed, place.path(), &programs).unwrap();
        let _used = TcpListener::bind((Ipv4Addr::LOCALHOST, first.ports().apiserver)).unwrap();
        fs::remove_dir_all(&bed.folder).unwrap();
        let second = create(&bed, place.path(), &programs).unwrap();
        assert_ne!(first.index, second.index);
        // What other beds leave, beds of this home take.
        let error = (0..=BEDS_MAX)
            .map(|number| Bed::open(home.path(), &format!("bed-{number}")).unwrap())
            .find_map(|bed| create(&bed, place.path(), &programs).err())
            .expect("there are fewer numbers than this");
        let said = error.to_string();
        assert!(said.starts_with("no room for another bed"), "{said}");
        assert!(said.contains(&format!("port {}, for ", first.ports().apiserver)), "{said}");
    }

    #[test]
    fn beds_of_different_homes_that_start_at_once_have_different_numbers() {
        let (place, programs) = host();
        let homes: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
        let indexes: Vec<u8> = thread::scope(|scope| {
            let starts: Vec<_> = homes
                .iter()
                .map(|home| {
                    scope.spawn(|| {
                        let bed = Bed::open(home.path(), "same").unwrap();
                        create(&bed, place.path(), &programs).unwrap().index
                    })
                })
                .collect();
            starts.into_iter().map(|start| start.join().unwrap()).collect()
        });
        assert_eq!(indexes.iter().collect::<BTreeSet<_>>().len(), homes.len(), "{indexes:?}");
    }

    #[test]
    fn a_number_is_free_again_when_it_is_given_back_or_its_bed_is_gone_and_not_before() {
        let ((place, programs), home) = (host(), tempfile::tempdir().unwrap());
        let bed = Bed::open(home.path(), "first").unwrap();
        let index = create(&bed, place.path(), &programs).unwrap().index;
        let numbers = Numbers::lock(place.path()).unwrap();
        let other = home.path().join("other");
        assert!(!numbers.take(index, &other) && !numbers.may_be_of(index, &other));
        numbers.give_back(&other).unwrap();
        assert!(!numbers.take(index, &other), "a bed gives back its own number only");
        numbers.give_back(&bed.folder).unwrap();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1, "no trace is left");
        assert!(
            numbers.take(index, &other) && numbers.take(index, &bed.folder),
            "no state, no bed"
        );
        assert!(!numbers.take(index, &other));
        fs::remove_dir_all(&bed.folder).unwrap();
        assert!(numbers.take(index, &other));
    }

    #[test]
    fn the_last_bed_with_a_network_leaves_the_host_as_the_first_has_found_it() {
        let (place, programs) = host();
        let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let wanted = Wanted { nodes: Some(0), ..Wanted::default() };
        let create = |home: &Path| {
            let bed = Bed::open(home, "one").unwrap();
            let numbers = Numbers::lock(place.path()).unwrap();
            let state = bed.create_with(&numbers, &programs, wanted).unwrap();
            (bed, state)
        };
        let (first, state) = create(homes[0].path());
        let found = !state.forwarded_before;
        first.save(&State { forwarded_before: found, ..state }).unwrap();
        let (second, state) = create(homes[1].path());
        assert_eq!(state.forwarded_before, found, "what the first bed did is not how the host was");
        let numbers = Numbers::lock(place.path()).unwrap();
        let others = numbers.others_with_network(&second.folder).into_iter().flatten();
        assert!(others.map(|state| state.forwarded_before).eq([found]));
        fs::remove_dir_all(&first.folder).unwrap();
        assert!(numbers.others_with_network(&second.folder).is_empty());
    }
}
