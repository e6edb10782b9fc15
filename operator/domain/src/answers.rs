//! The ten answers of a request for change (PROCESS 2.6).

use crate::{
    plan::{Answers, Plan},
    world::World,
};

/// The ten answers, for people.
pub fn answers(world: &World, plan: &Plan) -> Answers {
    let _ = (world, plan);
    Answers::default()
}
