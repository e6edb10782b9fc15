//! How a test says that it cannot run here.

use std::io::Write as _;

/// Says, past the capture of the test harness, that a test proved nothing on this machine; `make test` counts these lines apart.
///
/// `test` is the name of the test, `why` what is missing and how to get it. A test that says so returns at once: it never asserts
/// less than it says.
pub fn not_run(test: &str, why: &str) {
    let line = format!("not run: {test}: {why}\n");
    // A closed stderr is no reason to fail a test that does not run.
    let _ = std::io::stderr().write_all(line.as_bytes());
}
