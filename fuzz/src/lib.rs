//! What the targets do with an input. Those that look at a node are run by the agent's own tests, too, over seeds that are spoilt a
//! little (`operator/agent/tests/noise.rs`): so they build, and hold, without a fuzzer.

pub mod node;
pub mod place;
