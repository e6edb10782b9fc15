//! The `hozen` command.

fn main() {}
