//! Which phase each request is in, and whether it may run now.

use jiff::Timestamp;

use crate::{
    calendar::{Calendar, Opening, Purpose},
    effect::Decision,
    hold::Hold,
    units::{Name, Span},
    world::World,
};

/// Moves every open request to the phase that the facts give it, and creates the rollouts of those approved.
pub fn requests(world: &World) -> Decision {
    todo!()
}

/// Whether work of this purpose may start now under a plan's calendar: windows, freezes, and the windows' own gates.
pub fn may_start(
    world: &World,
    calendar: &Calendar,
    asked_by: &Name,
    purpose: Purpose,
    needed: Span,
) -> Result<Opening, Hold> {
    todo!()
}
