//! Why a notice matters to a set of packages, or why not.

use smol_str::SmolStr;

use super::identity::lookups;
use super::slot::Said;
use super::{Index, Unknown};
use crate::package::PackageSet;

/// How a set stands to one notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The worst of its packages.
    pub standing: Standing,
    /// Each package that the notice names and that is installed, by position in the set.
    pub packages: Vec<(u32, Standing)>,
}

/// How a package stands to a notice, the best first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// The index does not have the notice: it was never there, or was withdrawn.
    NoSuchNotice,
    /// Nothing that the notice names is installed.
    NotInstalled,
    /// Installed, in a version of which the notice does not speak: before the weakness came in, or of another build.
    NotAffected {
        /// The version, as it is compared.
        installed: SmolStr,
    },
    /// The fix is installed.
    FixedAlready {
        /// The version, as it is compared: that of the source package where notices name sources.
        installed: SmolStr,
        /// The first version that has it.
        fixed: SmolStr,
    },
    /// It cannot be told.
    Unknown {
        /// The version, as it is compared.
        installed: SmolStr,
        /// Why not.
        why: Unknown,
    },
    /// It is affected.
    Affected {
        /// The version, as it is compared.
        installed: SmolStr,
        /// First version that is not affected, where one is known.
        fixed: Option<SmolStr>,
    },
}

impl Index {
    /// Why a notice, by its id, matters to a set, or why not.
    pub fn explain(&self, notice: &str, set: &PackageSet) -> Explanation {
        let number = self.numbers.get(notice).copied();
        let Some(number) = number.filter(|&number| !self.parts[number as usize].is_empty()) else {
            return Explanation { standing: Standing::NoSuchNotice, packages: Vec::new() };
        };
        let slots = &self.parts[number as usize];
        let mut packages = Vec::new();
        for (position, package) in (0_u32..).zip(set.packages.iter()) {
            let tables = self.tables_of(&package.ecosystem);
            let standing = lookups(package, &set.packages)
                .flat_map(|lookup| {
                    tables.into_iter().flatten().filter_map(move |table| {
                        let slot = table.get(lookup.name.as_ref())?;
                        let slot = slots.contains(slot).then(|| &self.slots[*slot as usize])?;
                        let said = slot.explain(number, lookup.compared());
                        Some(standing(said, SmolStr::new(&lookup.version)))
                    })
                })
                .max();
            packages.extend(standing.map(|standing| (position, standing)));
        }
        let worst = packages.iter().map(|(_, standing)| standing).max();
        Explanation { standing: worst.cloned().unwrap_or(Standing::NotInstalled), packages }
    }
}

fn standing(said: Said, installed: SmolStr) -> Standing {
    match said {
        Said::Affected(fixed) => Standing::Affected { installed, fixed },
        Said::Unknown(why) => Standing::Unknown { installed, why },
        Said::Fixed(fixed) => Standing::FixedAlready { installed, fixed },
        Said::Never => Standing::NotAffected { installed },
    }
}
