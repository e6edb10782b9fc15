//! The fleet that most stories are about: web nodes with an openssl that is known to be exploited.

use crate::{
    BaselineBuilder, NodeBuilder, NoticeBuilder, WorldBuilder, debian, node, notice, resolved,
    transaction, world_at,
};

/// The vulnerable openssl of Debian 12.
pub const OPENSSL_OLD: &str = "3.0.20-1~deb12u2";
/// The one that fixes it.
pub const OPENSSL_NEW: &str = "3.0.22-1~deb12u2";

/// A web node that runs the old openssl, and whose package manager would bring the new one.
pub fn web(name: &str) -> NodeBuilder {
    let old = OPENSSL_OLD;
    let set = debian(&[("libssl3", old), ("openssl", old), ("nginx", "1.22.1-9+deb12u3")]);
    let change = transaction(&[("libssl3", old, OPENSSL_NEW), ("openssl", old, OPENSSL_NEW)]);
    let mut how = resolved("DSA-1", &change);
    how.restart = ["nginx.service".into()].into();
    node(name).label("tier", "web").has(&set).would_as(how, &change)
}

/// The notice that the old openssl is affected; how bad it is is for the test to say.
pub fn openssl() -> NoticeBuilder {
    let fixes = |notice: NoticeBuilder, package| notice.fixes("Debian:12", package, OPENSSL_NEW);
    fixes(fixes(notice("DSA-1"), "openssl"), "libssl3")
}

/// `web-1`, `web-2` and so on under one baseline, with an emergency on all of them.
pub fn web_fleet(nodes: u32, baseline: BaselineBuilder) -> WorldBuilder {
    let emergency = openssl().critical().exploited("2026-11-18", None);
    let world = world_at("2026-11-19T09:00Z").baseline(baseline).notice(emergency);
    (1..=nodes).fold(world, |world, n| world.node(web(&format!("web-{n}"))))
}
