//! What of a host and of the shared folder calls for a scan when it changes, and waiting for that.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    mem::MaybeUninit,
    os::fd::OwnedFd,
    time::Duration,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify::{self, CreateFlags, Reader, WatchFlags},
};

use crate::{
    clock::Moment,
    root::Root,
    share::{self, Share},
    waits,
};

/// Folders of the host whose change means another inventory: the package databases, the indices, what is held down. An inotify watch sees a folder and
/// not those in it.
const WATCHED: [&str; 7] = [
    "var/lib/dpkg",
    "var/lib/apt/lists",
    "var/lib/rpm",
    "usr/lib/sysimage/rpm",
    "usr/share/rpm",
    "lib/apk/db",
    "etc/systemd/system",
];
/// Likewise what is configured of repositories, with who may sign, what is preferred, and by which password: the indices may be others then.
const CONFIGURED: [&str; 21] = [
    "etc/apt",
    "etc/apt/apt.conf.d",
    "etc/apt/auth.conf.d",
    "etc/apt/keyrings",
    "etc/apt/preferences.d",
    "etc/apt/sources.list.d",
    "etc/apt/trusted.gpg.d",
    "etc/yum.repos.d",
    "etc/distro.repos.d",
    "etc/dnf",
    "etc/dnf/plugins",
    "etc/dnf/protected.d",
    "etc/dnf/repos.override.d",
    "etc/dnf/vars",
    "etc/yum/vars",
    "etc/zypp",
    "etc/zypp/credentials.d",
    "etc/zypp/repos.d",
    "etc/zypp/services.d",
    "etc/apk",
    "etc/apk/keys",
];
/// Locks of dpkg and apt. What zypper holds back stands in a file `locks`.
const LOCKS: [&str; 2] = ["lock", "lock-frontend"];
/// A package manager writes many times; the scan waits until it has been quiet for so long, but not longer than `BUSY_MAX`.
const QUIET: Duration = Duration::from_secs(3);
const BUSY_MAX: Duration = Duration::from_mins(2);

/// Changes that are told by the kernel.
pub(super) struct Changes {
    events: OwnedFd,
    /// Watches of what is configured of repositories.
    configured: RefCell<BTreeSet<i32>>,
    /// Whether one of those told something that nobody has asked for yet.
    is_configured: Cell<bool>,
}

impl Changes {
    /// Watches what is asked, in the shared folder.
    pub(super) fn of(share: &Share) -> std::io::Result<Self> {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let asked = WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
        inotify::add_watch(&events, share.path(), asked)?;
        Ok(Self { events, configured: RefCell::default(), is_configured: Cell::default() })
    }

    /// Folders of other distributions are not there, and one that comes is told by the folder that it is in: it is watched from the next turn on.
    pub(super) fn watch_host(&self, root: &Root) {
        let change = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::CREATE
            | WatchFlags::ONLYDIR;
        let watch =
            |path: &&str| inotify::add_watch(&self.events, root.path().join(path), change).ok();
        WATCHED.iter().filter_map(watch).for_each(drop);
        self.configured.replace(CONFIGURED.iter().filter_map(watch).collect());
    }

    /// Whether something was configured of repositories since this was last asked.
    pub(super) fn of_repositories(&self) -> bool {
        self.is_configured.take()
    }

    /// The folder in which work of ours says what it waits for comes with the first work on a host: until then its coming is news.
    pub(super) fn watch_work(&self, root: &Root) {
        let said = WatchFlags::MOVED_TO | WatchFlags::DELETE | WatchFlags::ONLYDIR;
        let path = root.path().join(waits::FOLDER);
        if inotify::add_watch(&self.events, &path, said).is_err()
            && let Some(parent) = path.parent()
        {
            let _ =
                inotify::add_watch(&self.events, parent, WatchFlags::CREATE | WatchFlags::ONLYDIR);
        }
    }

    /// Waits for a change that counts; whether there was one before the time was over.
    pub(super) fn wait(&self, limit: Duration) -> std::io::Result<bool> {
        let start = Moment::now();
        while let Some(left) = limit.checked_sub(start.elapsed()) {
            let timeout = Timespec::try_from(left).ok();
            let mut readable = [PollFd::new(&self.events, PollFlags::IN)];
            if poll(&mut readable, timeout.as_ref())? == 0 {
                return Ok(false);
            }
            if self.drain() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Reads away what has happened; whether any of it counts. Our own files in the shared folder do not, and locks neither.
    fn drain(&self) -> bool {
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.events, &mut space);
        let mut counts = false;
        while let Ok(event) = reader.next() {
            let name = event.file_name().map(|name| name.to_string_lossy().into_owned());
            let news = name.is_none_or(|name| is_news(&name));
            if news && self.configured.borrow().contains(&event.wd()) {
                self.is_configured.set(true);
            }
            counts |= news;
        }
        counts
    }

    /// Waits until it has been quiet for a while.
    pub(super) fn settle(&self) -> std::io::Result<()> {
        let start = Moment::now();
        while start.elapsed() < BUSY_MAX && self.wait(QUIET)? {}
        Ok(())
    }
}

fn is_news(name: &str) -> bool {
    let ours = name == "report.json" || name.starts_with('.') || share::is_content(name);
    !ours && !LOCKS.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_configured_of_repositories_is_news_also_in_a_folder_that_comes_later() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("shared")).unwrap();
        for path in ["etc/apt", "etc/yum.repos.d", "etc/dnf", "etc/zypp", "etc/apk"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        let root = Root::open(folder.path()).unwrap();
        let changes = Changes::of(&Share::at(at("shared"))).unwrap();
        changes.watch_host(&root);
        assert!(!changes.drain(), "nothing has happened yet");

        for path in [
            "etc/apt/sources.list",
            "etc/apt/sources.list.d/a.sources",
            "etc/apt/preferences.d/pin",
            "etc/apt/auth.conf.d/a.conf",
            "etc/yum.repos.d/a.repo",
            "etc/dnf/dnf.conf",
            "etc/dnf/vars/releasever",
            "etc/zypp/locks",
            "etc/zypp/repos.d/a.repo",
            "etc/apk/repositories",
        ] {
            let file = at(path);
            let parent = file.parent().unwrap();
            if !parent.exists() {
                std::fs::create_dir(parent).unwrap();
                assert!(changes.drain(), "the folder of {path} has come");
                changes.watch_host(&root);
            }
            changes.of_repositories();
            std::fs::write(&file, "").unwrap();
            assert!(changes.drain() && changes.of_repositories(), "{path} is written");
            std::fs::rename(&file, at("away")).unwrap();
            assert!(changes.drain(), "{path} is gone");
        }
        std::fs::create_dir_all(at("var/lib/dpkg")).unwrap();
        changes.watch_host(&root);
        changes.of_repositories();
        std::fs::write(at("var/lib/dpkg/status"), "").unwrap();
        assert!(changes.drain() && !changes.of_repositories(), "packages are no repositories");
        assert!(!changes.drain());
    }

    #[test]
    fn what_the_scanner_writes_itself_does_not_make_it_scan() {
        for name in ["report.json", ".report.json.next", "sha256-0.set", "lock", "lock-frontend"] {
            assert!(!is_news(name), "{name}");
        }
        assert!(is_news("request.json") && is_news("status") && is_news("locks"));
    }
}
