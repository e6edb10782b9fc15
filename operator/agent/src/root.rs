//! The only way in which a scan opens files: below one folder, regular files only, never more than a limit.
//!
//! The scanned system is hostile. The kernel itself keeps every look-up below the root (`openat2` with
//! `RESOLVE_IN_ROOT`): absolute links and `..` are resolved as if the root were `/`, magic links are refused. A path is
//! first opened without opening what it names (`O_PATH`), and only what is then seen to be a regular file is opened for
//! reading, so that a FIFO cannot block the scan and a device is never touched.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{self, AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags},
    io::Errno,
};

/// Linux' number of the proc filesystem, as `statfs(2)` reports it.
const PROC_MAGIC: u64 = 0x9fa0;

/// Folder below which everything is read.
#[derive(Debug)]
pub struct Root {
    folder: OwnedFd,
    path: PathBuf,
}

/// Why something could not be read. Messages name no path: the caller knows it.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It does not exist.
    #[error("does not exist")]
    Absent,
    /// It is no folder, and a folder is expected.
    #[error("is not a folder")]
    NotFolder,
    /// The kernel did not allow it.
    #[error("permission denied; run the scan as root to see it")]
    Denied,
    /// It is a FIFO, a socket, a device or a folder where a regular file is expected.
    #[error("is not a regular file")]
    NotRegular,
    /// It is larger than what is read of such a file.
    #[error("is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The kernel is too old for look-ups that stay below a root.
    #[error("this kernel has no openat2 (Linux 5.6 and newer have it)")]
    NoOpenat2,
    /// Anything else.
    #[error("could not be read ({0})")]
    Io(#[source] io::Error),
}

impl ReadError {
    /// Whether it simply is not there, which most files of a system may be.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl From<Errno> for ReadError {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::SRCH => Self::Absent,
            Errno::ACCESS | Errno::PERM => Self::Denied,
            Errno::NOSYS => Self::NoOpenat2,
            other => Self::Io(other.into()),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        Errno::from_io_error(&error).map_or(Self::Io(error), Self::from)
    }
}

/// A name in a folder, and what it names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// File name; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// Whether the folder says that it is a folder. Links are not followed for the answer.
    pub folder: bool,
}

impl Root {
    /// Opens the folder at `path` as the root of a scan.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match fs::open(path, flags, Mode::empty()) {
            Ok(folder) => Ok(Self { folder, path: path.to_owned() }),
            Err(Errno::NOTDIR) => Err(ReadError::NotFolder),
            Err(other) => Err(other.into()),
        }
    }

    /// Where the root is, for messages and for tools that are told of it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this is the root of the running system.
    pub fn is_host(&self) -> bool {
        match (fs::fstat(&self.folder), fs::stat("/")) {
            (Ok(ours), Ok(host)) => (ours.st_dev, ours.st_ino) == (host.st_dev, host.st_ino),
            _ => false,
        }
    }

    fn locate(&self, path: &str, flags: OFlags) -> Result<OwnedFd, ReadError> {
        // The kernel reads `/x` below the root just as `x`; an empty path it refuses.
        let path = if path.is_empty() { "/" } else { path };
        Ok(fs::openat2(
            &self.folder,
            path,
            flags | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
        )?)
    }

    /// Opens a regular file for reading.
    pub fn file(&self, path: &str) -> Result<File, ReadError> {
        let located = self.locate(path, OFlags::PATH)?;
        let kind = FileType::from_raw_mode(fs::fstat(&located)?.st_mode);
        if kind != FileType::RegularFile {
            return Err(ReadError::NotRegular);
        }
        // Through the descriptor, so that what is opened is what was looked at, whatever was renamed meanwhile.
        let again = format!("/proc/self/fd/{}", located.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        Ok(File::from(fs::open(again, flags, Mode::empty())?))
    }

    /// Reads a whole regular file of at most `limit` bytes.
    pub fn read(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError> {
        let mut content = Vec::new();
        self.file(path)?.take(limit.saturating_add(1)).read_to_end(&mut content)?;
        if content.len() as u64 > limit {
            return Err(ReadError::TooLarge { limit });
        }
        Ok(content)
    }

    /// Reads a whole text file of at most `limit` bytes; bytes that are not UTF-8 are replaced.
    pub fn text(&self, path: &str, limit: u64) -> Result<String, ReadError> {
        let bytes = self.read(path, limit)?;
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|not_utf8| String::from_utf8_lossy(not_utf8.as_bytes()).into_owned()))
    }

    /// Names in a folder, sorted, without `.` and `..`; an error where there are more than `limit`.
    pub fn list(&self, path: &str, limit: usize) -> Result<Vec<Entry>, ReadError> {
        let folder = self.locate(path, OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut entries = Vec::new();
        for entry in Dir::new(folder)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name == "." || name == ".." {
                continue;
            }
            if entries.len() == limit {
                return Err(ReadError::TooLarge { limit: limit as u64 });
            }
            let folder = entry.file_type() == FileType::Directory;
            entries.push(Entry { name, folder });
        }
        entries.sort();
        Ok(entries)
    }

    /// Text of a symbolic link, without following it. Links of `/proc` answer, too.
    pub fn link(&self, path: &str) -> Result<String, ReadError> {
        let located = self.locate(path, OFlags::PATH | OFlags::NOFOLLOW)?;
        let target = fs::readlinkat(&located, "", Vec::new())?;
        Ok(target.to_string_lossy().into_owned())
    }

    /// Whether something of that name is there, links followed.
    pub fn has(&self, path: &str) -> bool {
        self.locate(path, OFlags::PATH).is_ok()
    }

    /// When the file was last changed, in seconds since 1970.
    pub fn modified(&self, path: &str) -> Result<i64, ReadError> {
        let located = self.locate(path, OFlags::PATH)?;
        let stat = fs::statat(&located, "", AtFlags::EMPTY_PATH)?;
        Ok(stat.st_mtime)
    }

    /// Bytes that an unprivileged user can still write on the filesystem that holds `path`.
    pub fn free_bytes(&self, path: &str) -> Result<u64, ReadError> {
        let located = self.locate(path, OFlags::PATH)?;
        let stat = fs::fstatvfs(&located)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Whether what is at `path` is on another filesystem than the root.
    pub fn is_mount(&self, path: &str) -> bool {
        let device = |path| Some(fs::fstat(self.locate(path, OFlags::PATH).ok()?).ok()?.st_dev);
        device(path).is_some_and(|of| Some(of) != device(""))
    }

    /// Whether `path` is on the kernel's own proc filesystem, so that what it says is the kernel's word.
    pub fn is_proc(&self, path: &str) -> bool {
        self.locate(path, OFlags::PATH | OFlags::DIRECTORY)
            .and_then(|located| Ok(fs::fstatfs(&located)?))
            .is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|kind| kind == PROC_MAGIC))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn folder() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("root/etc")).unwrap();
        std::fs::write(folder.path().join("outside"), "secret").unwrap();
        let root = Root::open(&folder.path().join("root")).unwrap();
        (folder, root)
    }

    #[test]
    fn links_and_dots_stay_below_the_root() {
        let (folder, root) = folder();
        let etc = folder.path().join("root/etc");
        symlink(folder.path().join("outside"), etc.join("absolute")).unwrap();
        symlink("../../outside", etc.join("dots")).unwrap();
        symlink("/etc/real", etc.join("inside")).unwrap();
        std::fs::write(etc.join("real"), "ours").unwrap();

        assert!(root.read("etc/absolute", 100).unwrap_err().is_absent());
        assert!(root.read("etc/dots", 100).unwrap_err().is_absent());
        assert!(root.read("/../outside", 100).unwrap_err().is_absent());
        assert_eq!(root.text("etc/inside", 100).unwrap(), "ours");
    }

    #[test]
    fn fifos_sockets_devices_and_folders_are_never_opened() {
        let (folder, root) = folder();
        let etc = folder.path().join("root/etc");
        fs::mknodat(fs::CWD, etc.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(etc.join("socket")).unwrap();

        for path in ["etc/fifo", "etc/socket", "etc"] {
            assert!(matches!(root.read(path, 100), Err(ReadError::NotRegular)), "{path}");
        }
        let host = Root::open(Path::new("/")).unwrap();
        assert!(matches!(host.read("dev/zero", 100), Err(ReadError::NotRegular)));
        assert!(host.read("proc/self/fd/0/x", 100).is_err());
    }

    #[test]
    fn a_sparse_file_is_refused_at_the_limit() {
        let (folder, root) = folder();
        let sparse = File::create(folder.path().join("root/etc/sparse")).unwrap();
        sparse.set_len(1 << 40).unwrap();

        assert!(matches!(root.read("etc/sparse", 4096), Err(ReadError::TooLarge { limit: 4096 })));
    }

    #[test]
    fn a_folder_that_is_called_proc_is_not_taken_for_the_kernel() {
        let (folder, root) = folder();
        std::fs::create_dir(folder.path().join("root/proc")).unwrap();

        assert!(!root.is_proc("proc"));
        let host = Root::open(Path::new("/")).unwrap();
        assert!(host.is_proc("proc"));
        assert!(host.is_mount("proc") && !host.is_mount("") && !root.is_mount("proc"));
    }
}
