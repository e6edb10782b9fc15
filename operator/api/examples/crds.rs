//! Writes `crds/`.

fn main() {
    for (f, t) in hozen_api::crds::crds_yaml().unwrap() {
        std::fs::write(format!("crds/{f}"), t).unwrap();
    }
}
