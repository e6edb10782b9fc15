//! Two beds on one machine do not clash, also when neither home knows of the other.

use hozen_testbed::{
    Wanted,
    bed::{Bed, State},
};

use crate::{Removed, await_output, bed, traces};

const READY: [&str; 4] = [
    "get",
    "node",
    "node-1",
    r#"--output=jsonpath={.status.conditions[?(@.type=="Ready")].status}"#,
];

#[test]
fn two_beds_side_by_side_have_nothing_in_common_and_each_goes_alone() {
    let test = "two_beds_side_by_side_have_nothing_in_common_and_each_goes_alone";
    let Some(first) = bed(test, "side-one") else { return };
    let home = tempfile::tempdir().expect("a folder");
    let second = Removed(Bed::open(home.path(), "side-two").expect("a home of its own"));
    let wanted = Wanted { nodes: Some(1), ..Wanted::default() };
    let up = |bed: &Removed| -> State {
        hozen_testbed::up(&bed.0, wanted, &mut |step| println!("{step}")).expect("it comes up")
    };
    let (one, two) = (up(&first), up(&second));
    assert_ne!((one.index, one.address()), (two.index, two.address()));
    for (bed, state) in [(&first, &one), (&second, &two)] {
        await_output(&bed.0, state, &READY, |seen| seen == "True");
    }
    let folder = first.0.folder.clone();
    drop(first);
    assert_eq!(traces::of(&folder, &one), Vec::<String>::new());
    await_output(&second.0, &two, &READY, |seen| seen == "True");
    let folder = second.0.folder.clone();
    drop(second);
    assert_eq!(traces::of(&folder, &two), Vec::<String>::new());
}
