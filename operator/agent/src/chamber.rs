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
const WRITTEN: [&str; 3] = ["tmp", "var/tmp", COPIES];
/// Where a merged `/usr` is linked from.
const LINKS: [&str; 6] = ["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Where a program is told which of several it is: `/usr/bin/python3` may be a link to there.
const ALTERNATIVES: &str = "etc/alternatives";
/// Most alternatives that are looked at; a desktop of Debian's has some 800.
const ALTERNATIVES_MAX: usize = 10_000;
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
        place.give("dev")?;
        for folder in WRITTEN {
            self.clear(folder);
            // What a killed program has left there may be somebody else's, and is left then.
            let _ = place.remove(folder);
            place.folders(&[folder])?;
            place.give(folder)?;
        }
        Ok(place)
    }

    /// Adds what a program needs that asks other machines: whom it believes, and how names are looked up here.
    pub fn open_to_the_network(place: &Place, host: &Root) -> Result<(), ResolveError> {
        copy_files(place, host, &CERTIFICATES)?;
        let machine =
            Root::open(Path::new("/")).map_err(|source| failed("this machine's root", source))?;
        copy_files(place, &machine, &NAMES)
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
