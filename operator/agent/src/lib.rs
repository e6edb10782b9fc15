//! Scan and patch one node.
