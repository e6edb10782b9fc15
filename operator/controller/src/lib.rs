//! The operator in a cluster: `observe` keeps what the API server says, `hozen_domain` decides, `act` makes one conditional call
//! for each effect, `status` says how it stands. Nothing here chooses.

pub mod act;
pub mod audit;
pub mod clock;
pub mod config;
pub mod controllers;
pub mod events;
pub mod evidence;
pub mod freshness;
pub mod http;
pub mod lease;
pub mod log;
pub mod metrics;
pub mod observe;
pub mod runtime;
pub mod skew;
pub mod status;
pub mod world;
