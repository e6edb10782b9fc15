//! What a fleet costs in calls does not depend on how fast the machine is: so it is a test, with a small fleet.

use std::process::{Command, Stdio};

/// The program says so when there is no cluster to be had.
const NOT_RUN: i32 = 3;

#[test]
fn i37_a_fleet_at_rest_is_not_written_to_and_a_patched_node_costs_no_more_calls_than_is_held() {
    let program = env!("CARGO_BIN_EXE_hozen-scale");
    let arguments = ["--nodes=100", "--pods=5", "--settled=10", "--raw=500"];
    let ran = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let ran = ran.expect("it can be started");
    let (told, errors) =
        (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    if ran.status.code() == Some(NOT_RUN) {
        hozen_testkit::not_run("a_fleet_at_rest_is_not_written_to", errors.trim());
        return;
    }
    println!("{told}{errors}");
    assert!(ran.status.success(), "{} ended with {}", arguments.join(" "), ran.status);
    // At rest it was looked at twice: before anything, and after all was patched.
    assert_eq!(told.matches("writes in 10 s of a settled fleet").count(), 2);
    assert!(
        told.contains("calls for each node, evictions and the lease aside"),
        "nothing was patched"
    );
}
