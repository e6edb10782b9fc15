//! Modelled nodes on a virtual clock: the forecast that people can read, and the whole of `hozen simulate`.

pub mod scenario;
