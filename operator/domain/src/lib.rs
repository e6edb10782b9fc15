//! Every decision. World in, Decision out. No kube, no async, no clock.
