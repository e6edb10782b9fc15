//! Which of the host's sixteen numbers a bed has. Its ports, addresses, links and control groups follow from it, so that no two
//! beds of a host may have one, whatever homes and users they are of.
//!
//! Invariants: a number is taken by a symbolic link in the folder that all users of a host share, which leads to the bed; it counts
//! as long as the bed says that it has this number, so that what a crash or a removed home has left holds nobody up; links are
//! looked at and changed under one lock of the host, which ends with its process.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::{
    bed::{self, State},
    error::Error,
};

/// How many beds one host holds side by side: each takes ten ports and a /16 of its own.
pub const BEDS_MAX: u8 = 16;
/// Every user of a host may write here, and nobody takes away what is another's.
pub const PLACE: &str = "/tmp";

/// The numbers of a host, which no other command looks at or changes as long as this value lives.
pub struct Numbers {
    place: PathBuf,
    _lock: File,
}

/// Who has a number.
pub enum Owner {
    /// Nobody, or a bed that is no more.
    Nobody,
    /// A bed that is there; its state, if it can be read.
    Bed(PathBuf, Option<Box<State>>),
}

impl Numbers {
    /// Waits for its turn.
    pub fn lock(place: &Path) -> Result<Self, Error> {
        let doing = || format!("lock {}", place.display());
        let lock = File::open(place).map_err(Error::io(doing()))?;
        lock.lock().map_err(Error::io(doing()))?;
        Ok(Self { place: place.to_owned(), _lock: lock })
    }

    fn link(&self, index: u8) -> PathBuf {
        self.place.join(format!(".hozen-testbed-{index}"))
    }

    /// Who has a number.
    pub fn owner(&self, index: u8) -> Owner {
        let folder = match fs::read_link(self.link(index)) {
            Ok(folder) => folder,
            Err(source) if source.kind() == ErrorKind::NotFound => return Owner::Nobody,
            // Something that is no link of ours stands there.
            Err(_) => return Owner::Bed(self.link(index), None),
        };
        match bed::state_in(&folder) {
            Ok(Some(state)) if state.index == index => Owner::Bed(folder, Some(Box::new(state))),
            Ok(_) => Owner::Nobody,
            // That of another user, or of another version of this program.
            Err(_) => Owner::Bed(folder, None),
        }
    }

    /// Takes a number that nobody has; whether it could be taken. It counts once the bed's state is saved.
    pub fn take(&self, index: u8, folder: &Path) -> bool {
        matches!(self.owner(index), Owner::Nobody)
            && remove(&self.link(index)).is_ok()
            && symlink(folder, self.link(index)).is_ok()
    }

    /// Whether what bears a number on this host may be that of this bed: not if another one has the number by now.
    pub fn may_be_of(&self, index: u8, folder: &Path) -> bool {
        match self.owner(index) {
            Owner::Nobody => true,
            Owner::Bed(owner, _) => owner == folder,
        }
    }

    /// Which number a bed has by its link, whatever its state says.
    pub fn of(&self, folder: &Path) -> Option<u8> {
        (0..BEDS_MAX)
            .find(|index| fs::read_link(self.link(*index)).is_ok_and(|owner| owner == folder))
    }

    /// Gives back what number a bed has, whatever its state says.
    pub fn give_back(&self, folder: &Path) -> Result<(), Error> {
        while let Some(link) = self.of(folder).map(|index| self.link(index)) {
            remove(&link).map_err(Error::io(format!("remove {}", link.display())))?;
        }
        Ok(())
    }

    /// The beds with a network beside this one; nothing of those whose state cannot be read.
    pub fn others_with_network(&self, folder: &Path) -> Vec<Option<Box<State>>> {
        let beds = (0..BEDS_MAX).filter_map(|index| match self.owner(index) {
            Owner::Bed(owner, state) if owner != folder => Some(state),
            Owner::Bed(..) | Owner::Nobody => None,
        });
        beds.filter(|state| state.as_ref().is_none_or(|state| state.network)).collect()
    }
}

fn remove(link: &Path) -> std::io::Result<()> {
    match fs::remove_file(link) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(source),
        _ => Ok(()),
    }
}
