//! A small root in which the host's own programs run as nobody.
//!
//! Its `/usr` is the host's, mounted there read-only by whoever runs the scanner; everything else in it is written here for the
//! occasion. So a program sees nothing else of the host, writes nothing to it, and needs nothing of the scanner's own image. What is
//! written is the least that programs look for: the links of a merged `/usr`, alternatives, who nobody is, which libraries and which
//! ciphers the host takes.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::geteuid;

use crate::{
    command::{self, Call, NOBODY},
    resolve::ResolveError,
    root::{ReadError, Root},
    staging::Place,
};

/// Where copies of a system's state are, each in a folder of its own.
pub const COPIES: &str = "copies";
/// Folders that are made anew each time, with what is written into them; some of it may be secret.
const MADE: [&str; 2] = ["etc", "dev"];
/// Folders that programs write in, and that are emptied each time.
const WRITTEN: [&str; 2] = ["tmp", "var/tmp"];
/// Where a merged `/usr` is linked from.
const LINKS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Where a program is told which of several it is: `/usr/bin/python3` may be a link to there.
const ALTERNATIVES: &str = "etc/alternatives";
/// Most alternatives that are looked at; a desktop of Debian's has some 800.
const ALTERNATIVES_MAX: usize = 10_000;
/// What is made here of `/etc`, and what would be read as if it were: no file that a repository names takes its place.
const NOT_NAMED: [&str; 8] = [
    ALTERNATIVES,
    "etc/refresh.conf",
    "etc/nsswitch.conf",
    "etc/passwd",
    "etc/group",
    "etc/gnupg",
    "etc/resolv.conf",
    "etc/hosts",
];
/// How apt's own configuration begins, the folder's too; of the host's only what is checked is taken.
const APT_CONF: &str = "etc/apt/apt.conf";
/// What programs read of the host before they do anything: where libraries are, and which ciphers and signatures the host still takes.
const FILES: [&str; 3] =
    ["etc/ld.so.cache", "etc/crypto-policies/config", "etc/pki/tls/openssl.cnf"];
const FOLDERS: [&str; 1] = ["etc/crypto-policies/back-ends"];
/// Whose certificates are believed, where distributions have them in one file.
const CERTIFICATES: [&str; 6] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/pki/tls/cert.pem",
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "var/lib/ca-certificates/ca-bundle.pem",
];
/// The same as a folder, a file for each authority, by the hash of its name: there zypper looks.
const CERTIFICATES_BY_HASH: &str = "etc/ssl/certs";
/// Most files of that folder that are looked at; a distribution has some 150 authorities, each by two names.
const CERTIFICATES_MAX: usize = 2_000;
/// What the way to other machines is, which is this process' own and not the host's.
const NAMES: [&str; 2] = ["etc/resolv.conf", "etc/hosts"];
/// Program that removes what others of nobody's have left.
const REMOVE: &str = "usr/bin/rm";
const REMOVE_TIMEOUT: Duration = Duration::from_mins(1);

/// The folder of the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chamber(PathBuf);

impl Chamber {
    /// In this folder, in which `usr` is the host's where it is mounted.
    pub fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the host's `/usr` has to be mounted.
    pub fn programs(&self) -> PathBuf {
        self.0.join("usr")
    }

    /// Whether the host's programs can be run here: they are mounted, and only root enters a root.
    pub fn is_ready(&self) -> bool {
        geteuid().is_root() && self.programs().join("bin").is_dir()
    }

    /// Whether a program, by its path below `/`, is there. It may be a link that leads on only once the root is furnished.
    pub fn has(&self, program: &str) -> bool {
        fs::symlink_metadata(self.0.join(program)).is_ok()
    }

    /// Makes everything in the root that is not the host's `/usr`; what was made before is gone.
    pub fn furnish(&self, host: &Root) -> Result<Place, ResolveError> {
        let place = Place::of(self.0.clone());
        fs::set_permissions(place.path(), Permissions::from_mode(0o755))
            .map_err(|error| failed("the root for the host's programs", error.into()))?;
        for folder in MADE {
            place.remove(folder)?;
        }
        place.folders(&MADE)?;
        for name in LINKS {
            link(&place, host, name)?;
        }
        if !place.at("bin/sh").exists() {
            return Err(ResolveError::NotSupported("the host's /bin is not a part of its /usr"));
        }
        place.folders(&[ALTERNATIVES])?;
        for entry in host.list(ALTERNATIVES, ALTERNATIVES_MAX).unwrap_or_default() {
            link(&place, host, &format!("{ALTERNATIVES}/{}", entry.name))?;
        }
        copy_files(&place, host, &FILES)?;
        for folder in FOLDERS {
            place.folders(&[folder])?;
            place.copy_files(host, folder, folder)?;
        }
        place.write("etc/nsswitch.conf", "hosts: files dns\n")?;
        place.write("etc/passwd", &format!("nobody:x:{NOBODY}:{NOBODY}::/:/bin/sh\n"))?;
        place.write("etc/group", &format!("nogroup:x:{NOBODY}:\n"))?;
        // To check a signature gpg needs no agent, and would start one that nobody ends.
        place.folders(&["etc/gnupg"])?;
        place.write("etc/gnupg/gpg.conf", "no-autostart\n")?;
        place.write("dev/null", "")?;
        place.give_file("dev/null")?;
        // The folder of copies stays root's: whoever could write there could put a link in the place of a copy.
        for folder in WRITTEN.into_iter().chain([COPIES]) {
            // What a killed program has left there may be somebody else's, and is left then.
            let _ = self.empty(&place, folder);
            place.folders(&[folder])?;
        }
        WRITTEN.iter().try_for_each(|folder| place.give(folder))?;
        Ok(place)
    }

    /// Removes what a scanner has left that was ended before it could: credentials for repositories, copies of the host's state.
    pub fn forget(&self) -> Result<(), ResolveError> {
        if !self.is_ready() {
            return Ok(());
        }
        let place = Place::of(self.0.clone());
        let emptied = self.empty(&place, COPIES);
        place.remove("etc").and(emptied)
    }

    /// Removes a folder that nobody's programs have written in.
    pub fn empty(&self, place: &Place, folder: &str) -> Result<(), ResolveError> {
        self.clear(folder);
        place.remove(folder)
    }

    /// Adds what a program needs that asks other machines: whom it believes, and how names are looked up here.
    pub fn open_to_the_network(place: &Place, host: &Root) -> Result<(), ResolveError> {
        copy_files(place, host, &CERTIFICATES)?;
        let machine =
            Root::open(Path::new("/")).map_err(|source| failed("this machine's root", source))?;
        copy_files(place, &machine, &NAMES)
    }

    /// Adds whom a program believes that looks for authorities by the hash of their name.
    pub fn believe_by_hash(place: &Place, host: &Root) -> Result<(), ResolveError> {
        place.folders(&[CERTIFICATES_BY_HASH])?;
        for entry in host.list(CERTIFICATES_BY_HASH, CERTIFICATES_MAX).unwrap_or_default() {
            if is_hash(&entry.name) {
                let path = format!("{CERTIFICATES_BY_HASH}/{}", entry.name);
                place.copy_if_there(host, &path, &path)?;
            }
        }
        Ok(())
    }

    /// Removes, as nobody, what nobody's programs have written below a path: in a pod not even root may.
    pub fn clear(&self, path: &str) {
        let outcome = command::run(&Call {
            program: Path::new("/").join(REMOVE),
            root: Some(self.0.clone()),
            arguments: vec!["-rf".into(), "--".into(), Path::new("/").join(path).into()],
            environment: Vec::new(),
            output_bytes_max: 1 << 20,
            timeout: REMOVE_TIMEOUT,
        });
        // It cannot remove what is root's, and says so; whoever asked removes that itself.
        drop(outcome);
    }
}

fn copy_files(place: &Place, host: &Root, files: &[&str]) -> Result<(), ResolveError> {
    for file in files {
        if let Some((folder, _)) = file.rsplit_once('/') {
            place.folders(&[folder])?;
        }
        place.copy_if_there(host, file, file)?;
    }
    Ok(())
}

/// A file of the host that a repository names by its path, as the path below `/` to copy it by: one of `/etc`. What is in `/usr` is here, and
/// nothing else of the host is copied.
pub fn named(path: &str) -> Option<String> {
    let parts = path.strip_prefix('/')?.split('/').filter(|part| !part.is_empty() && *part != ".");
    let parts: Vec<&str> = parts.collect();
    let file = parts.join("/");
    let is_below = |folder: &&str| {
        let rest = file.strip_prefix(*folder);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let is_ours = NOT_NAMED.iter().any(is_below) || file.starts_with(APT_CONF);
    let is_inside = file.starts_with("etc/") && !parts.contains(&"..");
    (is_inside && !is_ours).then_some(file)
}

/// Whether a file has a name such as `5ed36f99.0`.
fn is_hash(name: &str) -> bool {
    name.split_once('.').is_some_and(|(hash, number)| {
        hash.len() == 8
            && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
            && number.parse::<u8>().is_ok()
    })
}

/// A link of the host, made here, too, unless it is there.
fn link(place: &Place, host: &Root, name: &str) -> Result<(), ResolveError> {
    let Ok(target) = host.link(name) else {
        return Ok(());
    };
    match symlink(target, place.at(name)) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(failed(name, error.into()))
        }
        _ => Ok(()),
    }
}

fn failed(what: &str, source: ReadError) -> ResolveError {
    ResolveError::Copy { what: what.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_names_files_of_etc_and_none_that_is_made_here() {
        for (path, wanted) in [
            ("/etc/pki/k", Some("etc/pki/k")),
            ("///etc/./pki//k", Some("etc/pki/k")),
            ("/etc/apt/keyrings/k", Some("etc/apt/keyrings/k")),
            ("/etc/passwd.key", Some("etc/passwd.key")),
            ("/etc/../root/k", None),
            ("/root/etc/k", None),
            ("etc/pki/k", None),
            ("/etc", None),
            ("/etc/alternatives/e/f", None),
            ("/etc/.//alternatives", None),
            ("/etc/refresh.conf", None),
            ("/etc/apt/apt.conf", None),
            ("/etc/apt/apt.conf.d/99evil", None),
            ("/etc//gnupg/gpg.conf", None),
        ] {
            assert_eq!(named(path).as_deref(), wanted, "{path}");
        }
    }

    #[test]
    fn authorities_are_copied_by_their_hash_wherever_the_host_has_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        let authorities = at("host/var/lib/ca-certificates/pem");
        fs::create_dir_all(&authorities).unwrap();
        fs::create_dir_all(at("host/etc/ssl")).unwrap();
        fs::create_dir_all(at("own")).unwrap();
        symlink("../../var/lib/ca-certificates/pem", at("host/etc/ssl/certs")).unwrap();
        fs::write(authorities.join("A.pem"), "authority").unwrap();
        symlink("A.pem", authorities.join("5ed36f99.0")).unwrap();
        // Neither a folder nor what leads nowhere is in the way.
        fs::create_dir(authorities.join("java")).unwrap();
        symlink("gone.pem", authorities.join("5ed36f99.1")).unwrap();
        let host = Root::open(&at("host")).unwrap();
        Chamber::believe_by_hash(&Place::of(at("own")), &host).unwrap();

        let copied: Vec<_> = fs::read_dir(at("own/etc/ssl/certs")).unwrap().collect();
        assert_eq!(copied.len(), 1, "{copied:?}");
        let text = fs::read_to_string(at("own/etc/ssl/certs/5ed36f99.0")).unwrap();
        assert_eq!(text, "authority");
    }
}
