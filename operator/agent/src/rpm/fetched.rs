//! A host's repositories as the scanner's own refresh takes them: only what is fetched from elsewhere, and believed only where it is signed, or
//! comes from a host that shows who it is.
//!
//! What lies on the host's own disk is left out (its metadata are read where they are). Of a repository's options those that say where it is
//! and how it is reached are taken, and no other; what would weaken a check is said the other way.

use std::collections::BTreeMap;

use super::repos::{Section, is_enabled, is_name, is_no};
use crate::chamber;

/// Addresses that are fetched by no network.
const OF_THE_DISK: [&str; 6] = ["file", "dir", "hd", "iso", "cd", "dvd"];
/// Options that say where a repository is, and by which way.
const WAYS: [&str; 14] = [
    "name",
    "type",
    "path",
    "mirrorlist",
    "metalink",
    "username",
    "password",
    "proxy",
    "proxy_username",
    "proxy_password",
    "ip_resolve",
    "sslcacert",
    "sslclientcert",
    "sslclientkey",
];
/// Of these, those that may stand for all repositories.
const WAYS_OF_ALL: [&str; 7] = [
    "proxy",
    "proxy_username",
    "proxy_password",
    "ip_resolve",
    "sslcacert",
    "sslclientcert",
    "sslclientkey",
];
/// Options that name a file of the host.
const FILES: [&str; 4] = ["mirrorlist", "sslcacert", "sslclientcert", "sslclientkey"];

/// Repositories in the form of dnf and zypper, and the files of the host that they name: keys, certificates, lists of mirrors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Text of one file with all of them.
    pub text: String,
    /// Paths below the root.
    pub files: Vec<String>,
    /// Names of the repositories.
    pub names: Vec<String>,
}

impl Fetched {
    /// The options that stand for all repositories.
    pub fn main(&mut self, options: &BTreeMap<String, String>) {
        self.text.push_str("[main]\n");
        self.ways(&WAYS_OF_ALL, options);
        self.text.push_str("sslverify = 1\n");
    }

    /// Adds a repository, if it is in use and fetched from elsewhere. Whether its metadata have to be signed the host says, `signed` where
    /// it says nothing of this repository; where nothing else shows whose they are, they have to be.
    pub fn add(&mut self, (id, options): &Section, signed: bool) {
        let word = |name: &str| options.get(name).map_or("", String::as_str);
        let addresses: Vec<&str> =
            words(word("baseurl")).filter(|at| !is_of_the_disk(at)).collect();
        let elsewhere = !addresses.is_empty() || options.contains_key("mirrorlist");
        // What has no folder of its own in a cache the scan tells.
        if !is_name(id) || !is_enabled(options) || !(elsewhere || options.contains_key("metalink"))
        {
            return;
        }
        self.names.push(id.clone());
        self.text.extend(["[", id, "]\nenabled = 1\ngpgcheck = 1\npkg_gpgcheck = 1\n"]);
        self.text.push_str("sslverify = 1\nskip_if_unavailable = 0\n");
        let asked = options.get("repo_gpgcheck").map_or(signed, |value| !is_no(Some(value)));
        let is_shown = !options.contains_key("mirrorlist")
            && addresses
                .iter()
                .all(|address| is_of_a_known_host(address) && !address.contains('?'))
            && options
                .get("metalink")
                .is_none_or(|address| is_of_a_known_host(address) && !names_options(address));
        let checked = if asked || !is_shown { "1" } else { "0" };
        self.text.extend(["repo_gpgcheck = ", checked, "\n"]);
        if !addresses.is_empty() {
            self.text.extend(["baseurl = ", &addresses.join("\n  "), "\n"]);
        }
        let keys: Vec<&str> =
            words(word("gpgkey")).filter(|key| key.starts_with("file:")).collect();
        if !keys.is_empty() {
            self.text.extend(["gpgkey = ", &keys.join("\n  "), "\n"]);
        }
        for key in keys {
            self.name(key);
        }
        self.ways(&WAYS, options);
    }

    fn ways(&mut self, names: &[&str], options: &BTreeMap<String, String>) {
        for name in names {
            if let Some(value) = options.get(*name) {
                self.text.extend([*name, " = ", &value.replace('\n', "\n  "), "\n"]);
                if FILES.contains(name) {
                    self.name(value);
                }
            }
        }
    }

    /// Notes a file that is to be copied.
    fn name(&mut self, file: &str) {
        let path = file.strip_prefix("file:").unwrap_or(file);
        if let Some(named) = chamber::named(path).filter(|named| !self.files.contains(named)) {
            self.files.push(named);
        }
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty())
}

fn is_of_the_disk(address: &str) -> bool {
    let scheme = address.split(':').next().unwrap_or_default();
    address.starts_with('/') || OF_THE_DISK.iter().any(|of| scheme.eq_ignore_ascii_case(of))
}

fn is_of_a_known_host(address: &str) -> bool {
    address.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https://"))
}

/// What follows a `?` libzypp takes for options of its own, also such as weaken the check (`ssl_verify=no`). Lists of mirrors are asked for
/// by it (`?repo=epel-9`): of theirs only what could be such an option matters.
fn names_options(address: &str) -> bool {
    let query = address.split_once('?').map(|(_, query)| query.to_ascii_lowercase());
    query.is_some_and(|query| query.contains("ssl") || query.contains('%'))
}

#[cfg(test)]
mod tests {
    use super::super::repos::sections;
    use super::*;

    fn fetched(text: &str, signed: bool) -> Fetched {
        let mut fetched = Fetched::default();
        for section in sections(text) {
            fetched.add(&section, signed);
        }
        fetched
    }

    fn checked(options: &str, signed: bool) -> bool {
        let text = fetched(&format!("[a]\n{options}\n"), signed).text;
        let is = |value: &str| text.contains(&format!("repo_gpgcheck = {value}\n"));
        assert!(is("0") != is("1"), "{text}");
        is("1")
    }

    #[test]
    fn metadata_are_believed_unsigned_only_from_where_the_host_believes_them_and_https_shows_who_speaks()
     {
        assert!(!checked("baseurl=https://h/a", false));
        assert!(!checked("metalink=https://h/a\nrepo_gpgcheck=0", true));
        assert!(!checked(
            "metalink=https://h/metalink?repo=epel-$releasever&arch=$basearch",
            false
        ));
        for options in [
            "baseurl=http://h/a\nrepo_gpgcheck=0",
            "baseurl=https://h/a\n  http://h/b",
            "mirrorlist=https://h/a",
            "metalink=http://h/a",
            "baseurl=https://h/a?ssl_verify=no",
            "baseurl=https://h/a?arch=x86_64&ssl_verify=no",
            "metalink=https://h/a?repo=a&ssl_verify=no",
            "metalink=https://h/a?SSL%5Fverify=no",
            "baseurl=https://h/a\nrepo_gpgcheck=1",
        ] {
            assert!(checked(options, false), "{options}");
        }
        assert!(checked("baseurl=https://h/a", true), "the host says so for all of them");
    }

    #[test]
    fn what_is_on_the_disk_or_off_is_left_out_and_nothing_weakens_a_check() {
        let text = "[disk]\nbaseurl=file:///srv/a\n[path]\nbaseurl=/srv/a\n[dir]\nbaseurl=dir:/srv\n[off]\nbaseurl=http://h/\nenabled=0\n\
                    [on]\nbaseurl=http://h/$releasever, file:///srv/b\ngpgcheck=0\nsslverify=0\nskip_if_unavailable=1\n\
                    gpgkey=https://h/key\n  file:///etc/pki/k file:///etc/../root/k file:///usr/share/k\n\
                    sslclientcert=/etc/pki/entitlement/1.pem\nusername=u\ncost=1\n";
        let fetched = fetched(text, false);

        assert_eq!(
            fetched.text,
            "[on]\nenabled = 1\ngpgcheck = 1\npkg_gpgcheck = 1\nsslverify = 1\nskip_if_unavailable = 0\n\
             repo_gpgcheck = 1\nbaseurl = http://h/$releasever\n\
             gpgkey = file:///etc/pki/k\n  file:///etc/../root/k\n  file:///usr/share/k\n\
             username = u\nsslclientcert = /etc/pki/entitlement/1.pem\n"
        );
        assert_eq!(fetched.files, ["etc/pki/k", "etc/pki/entitlement/1.pem"]);
    }
}
