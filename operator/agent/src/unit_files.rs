//! Units of the service manager as their files describe them, where nobody may be asked.

use std::collections::BTreeMap;

use crate::root::Root;

/// Folders of unit files; what stands in an earlier one hides what has the same name in a later one (systemd.unit(5)).
const FOLDERS: [&str; 9] = [
    "run/systemd/transient",
    "run/systemd/generator.early",
    "etc/systemd/system",
    "run/systemd/system",
    "run/systemd/generator",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    // Where `/lib` is no link to `/usr/lib`.
    "lib/systemd/system",
    "run/systemd/generator.late",
];
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Most additions to one unit in one folder.
const ADDITIONS_MAX: usize = 64;

/// Whether a service does one job and ends (`Type=oneshot`): to restart it is to do the job again.
pub fn is_one_shot(root: &Root, unit: &str) -> bool {
    unit.ends_with(".service") && kind(root, unit).is_some_and(|kind| kind == "oneshot")
}

/// The type that a service's files give it, those that add to it included.
fn kind(root: &Root, unit: &str) -> Option<String> {
    let mut names = vec![unit.to_owned()];
    // `getty@tty1.service` is made from `getty@.service`.
    names.extend(unit.split_once('@').map(|(name, _)| format!("{name}@.service")));
    let text = |path: &str| root.text(path, FILE_BYTES_MAX).ok();
    let in_folders =
        |name: &String| FOLDERS.into_iter().find_map(|folder| text(&format!("{folder}/{name}")));
    let mut kind = names.iter().find_map(in_folders).and_then(|text| assigned(&text));
    let mut additions = BTreeMap::new();
    for name in names.iter().rev() {
        for folder in FOLDERS.into_iter().rev() {
            let folder = format!("{folder}/{name}.d");
            let entries = root.list(&folder, ADDITIONS_MAX).unwrap_or_default();
            let files = entries.into_iter().map(|entry| entry.name);
            let files = files.filter(|file| file.strip_suffix(".conf").is_some());
            additions.extend(files.map(|file| (file.clone(), format!("{folder}/{file}"))));
        }
    }
    for path in additions.values() {
        kind = text(path).and_then(|text| assigned(&text)).or(kind);
    }
    kind
}

/// The last `Type=` of the section `[Service]`.
fn assigned(text: &str) -> Option<String> {
    let mut of_service = false;
    let mut kind = None;
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            of_service = line == "[Service]";
        } else if let Some((key, value)) = line.split_once('=')
            && of_service
            && key.trim_end() == "Type"
        {
            kind = Some(value.trim().to_owned());
        }
    }
    kind
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_one_shot_is_known_by_the_file_that_systemd_would_take_and_what_is_added_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let one_shot = "[Unit]\nDescription=x\n[Service]\nType = oneshot\nExecStart=/bin/true\n";
        write("usr/lib/systemd/system/backup.service", one_shot);
        write("usr/lib/systemd/system/copy@.service", one_shot);
        write("usr/lib/systemd/system/web.service", "[Service]\nType=notify\n[X]\nType=oneshot\n");
        write("usr/lib/systemd/system/hidden.service", one_shot);
        write("etc/systemd/system/hidden.service", "[Service]\nExecStart=/bin/x\n");
        write("usr/lib/systemd/system/added.service", "[Service]\nType=simple\n");
        write("etc/systemd/system/added.service.d/50-x.conf", "[Service]\nType=oneshot\n");
        write("run/systemd/transient/run-1.service", one_shot);
        let root = Root::open(folder.path()).unwrap();

        for unit in ["backup.service", "copy@disk.service", "added.service", "run-1.service"] {
            assert!(is_one_shot(&root, unit), "{unit}");
        }
        for unit in ["web.service", "hidden.service", "absent.service", "backup.timer"] {
            assert!(!is_one_shot(&root, unit), "{unit}");
        }
    }
}
