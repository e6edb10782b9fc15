//! Windows that pass while a request waits for people.

use jiff::Timestamp;

use super::{Model, What};
use crate::{
    calendar::{Access, Calendar, Opening, Purpose},
    effect::Held,
    hold::Hold,
    units::{Name, Span},
};

impl Model<'_> {
    /// Tells each window that closed before a request was approved. Returns when the next such window closes: it is looked at then.
    pub(super) fn tell_windows(&mut self, holds: &[Held]) -> Option<Timestamp> {
        let mut next_close: Option<Timestamp> = None;
        for Held { about, hold } in holds {
            let Hold::AwaitingApproval { missing, .. } = hold else {
                continue;
            };
            let mut next = self.next_window(about);
            while let Some(passed) = next.take_if(|opening| opening.close <= self.world.now) {
                self.windows_seen.insert(about.clone(), passed.close);
                next = self.next_window(about);
                let reopens = next.as_ref().map(|opening| opening.open);
                let missing = missing.clone();
                self.tell(Some(about.clone()), What::WindowMissed { passed, missing, reopens });
            }
            let close = next.map(|opening| opening.close);
            next_close = next_close.into_iter().chain(close).min();
        }
        next_close
    }

    /// The first opening of a request's windows that was not told of; none: it needs no window, or has none any more.
    fn next_window(&self, request: &Name) -> Option<Opening> {
        let found = self.world.requests.get(request)?;
        let windows = &found.plan.windows;
        if windows.emergency || windows.windows.is_empty() {
            return None;
        }
        let since = self.windows_seen.get(request).copied().unwrap_or(found.created);
        // What needs no time still fits at the very end of an opening that a freeze cut short: that one would pass for ever.
        match Calendar::of(&self.world, &found.plan).ok()?.access(
            Purpose::Install,
            since,
            Span::seconds(1),
        ) {
            Access::Open(opening) | Access::Opens { opening, .. } => Some(opening),
            Access::Never { .. } => None,
        }
    }
}
