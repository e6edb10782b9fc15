//! What of a cluster the caller may not read: an explanation goes without it, and says so.

use std::{collections::BTreeSet, fmt};

use super::{Explanation, Section};

/// Resources that the caller may not list, as RBAC names them; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen(BTreeSet<&'static str>);

impl Unseen {
    /// None where everything may be read.
    pub fn of(resources: impl IntoIterator<Item = &'static str>) -> Option<Self> {
        let resources: BTreeSet<&str> = resources.into_iter().collect();
        (!resources.is_empty()).then_some(Self(resources))
    }

    /// Says so before everything else: what follows was reckoned without it.
    pub(super) fn before(&self, told: &mut Explanation) {
        let mut section = Section::new("left out");
        section.say(format!(
            "{self}; what keeps a drain or a Job waiting, and who runs which image, is not told here"
        ));
        told.sections.insert(0, section);
    }
}

impl fmt::Display for Unseen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let resources: Vec<&str> = self.0.iter().copied().collect();
        let resources = resources.join(", ");
        write!(
            f,
            "no rule lets you list and watch {resources} in all namespaces (the role view does)"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_listed_is_named_once_each_and_nothing_is_where_all_may_be() {
        let unseen =
            Unseen::of(["pods", "jobs.batch", "jobs.batch"]).map(|unseen| unseen.to_string());
        let told = "no rule lets you list and watch jobs.batch, pods in all namespaces (the role view does)";
        assert_eq!(unseen.as_deref(), Some(told));
        assert_eq!(Unseen::of([]), None);
    }
}
