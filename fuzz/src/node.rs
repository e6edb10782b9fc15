//! A node's files, as they might be: read or refused, in bounded time and memory, and what was read keeps its promises.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, Read as _},
};

use hozen_agent::{
    apk::{self, Apk},
    apt::{Apt, conf::Conf, preferences, release, resolve},
    compressed::Compression,
    dpkg::{self, Database},
    live::{self, hardware, kernel, network, processes, sockets},
    os_release,
    package::Installed,
    rpm::{
        Form,
        header::{self, Header},
        headers, repodata as metadata, repos,
    },
    share::Share,
    stanza,
    unread::Unread,
};

use crate::place::Place;

/// dpkg's database: `status`, a file of `status.d`, the architectures, and a list of files.
pub fn dpkg(bytes: &[u8]) {
    thread_local!(static PLACE: Place = Place::new(&[]));
    const FILES: [&str; 4] = [
        "var/lib/dpkg/status",
        "var/lib/dpkg/status.d/tzdata",
        "var/lib/dpkg/arch",
        "var/lib/dpkg/info/tzdata.list",
    ];

    PLACE.with(|place| {
        place.put_parts(&FILES, bytes);
        let root = place.root();
        let mut unread = Unread::default();
        let database = dpkg::read(&root, &mut unread);
        assert!(database.packages.is_sorted());
        assert!(database.packages.iter().all(Installed::is_plausible));
        assert!(unread.into_entries().len() <= 64);
        let _ = dpkg::files(&root, "tzdata", "all");
    });
}

/// What apt is configured to, and what its indices offer for what is installed.
pub fn apt(bytes: &[u8]) {
    thread_local!(static PLACE: (Place, Database) = {
        let status = "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2.15-2+b7\n\n\
            Package: zlib1g\nStatus: hold ok installed\nArchitecture: amd64\nSource: zlib\nVersion: 1:1.2.13.dfsg-1\n";
        // Whatever the other sources say, this one's index is where the input puts it.
        let place = Place::new(&[
            ("var/lib/dpkg/status", status),
            ("etc/apt/sources.list", "deb http://deb.example.com/debian bookworm main\n"),
        ]);
        let database = dpkg::read(&place.root(), &mut Unread::default());
        (place, database)
    });
    const FILES: [&str; 6] = [
        "etc/apt/apt.conf",
        "etc/apt/preferences",
        "etc/apt/sources.list.d/more.list",
        "etc/apt/sources.list.d/more.sources",
        "var/lib/apt/lists/deb.example.com_debian_dists_bookworm_InRelease",
        "var/lib/apt/lists/deb.example.com_debian_dists_bookworm_main_binary-amd64_Packages",
    ];

    PLACE.with(|(place, database)| {
        place.put_parts(&FILES, bytes);
        let root = place.root();
        let mut unread = Unread::default();
        let apt = Apt::read(&root, database, None, &mut unread);
        let updates = apt.updates(&root, database, &mut unread);
        assert!(updates.is_sorted());
        assert!(updates.iter().all(|update| update.from != update.to), "{updates:?}");
    });
}

/// Texts of a system that are read as a whole: release files, configuration, pins, what apt prints.
pub fn texts(text: &str) {
    let _ = os_release::parse(text);
    let _ = release::parse(text);
    let mut conf = Conf::default();
    conf.parse(text);
    let _ = (conf.last("apt::default-release"), conf.list("apt::architectures"));
    for pin in preferences::pins_of(text) {
        if let Some(packages) = pin.packages {
            let _ = packages.name.fits("bash");
        }
    }
    for paragraph in stanza::parse(text) {
        let _ = (paragraph.get("Package"), paragraph.number("Size"));
    }
    for line in text.lines() {
        let _ = (resolve::steps(line), header::source_of(line, 1));
    }
    assert!(resolve::complaint(text, text).len() <= 1_900);
}

/// rpm's database in each of its forms; the first byte chooses.
pub fn rpm_database(bytes: &[u8]) {
    thread_local!(static PLACE: Place = Place::new(&[]));

    PLACE.with(|place| {
        let [first, database @ ..] = bytes else { return };
        let form = match first % 3 {
            0 => Form::Sqlite,
            1 => Form::Ndb,
            _ => Form::Bdb,
        };
        place.put("db", database);
        let file = File::open(place.at("db")).expect("it was just written");
        let mut found = 0_u64;
        let _ = headers(file, form, &mut |bytes: &[u8]| {
            found += 1;
            let _ = Header::parse(bytes).and_then(|header| header.package());
        });
        // Whatever names whatever, a file is read a few times over and no more.
        assert!(found <= 4 * database.len() as u64, "{found} packages in {} bytes", database.len());
    });
}

/// One package's header as rpm keeps it.
pub fn rpm_header(bytes: &[u8]) {
    let Some(header) = Header::parse(bytes) else { return };
    if let Some(package) = header.package() {
        assert!(package.is_plausible());
    }
    let _ = header.files();
}

/// What dnf is configured to, and a repository's metadata.
pub fn repodata(bytes: &[u8]) {
    thread_local!(static PLACE: Place = {
        // Whatever else is configured, this repository is where the input puts it.
        Place::new(&[("etc/yum.repos.d/a.repo", "[a]\nbaseurl=file:///srv/a\n")])
    });
    const FILES: [&str; 4] = [
        "etc/yum.repos.d/more.repo",
        "srv/a/repodata/repomd.xml",
        "srv/a/repodata/primary.xml",
        "srv/a/repodata/updateinfo.xml",
    ];

    PLACE.with(|place| {
        place.put_parts(&FILES, bytes);
        let root = place.root();
        let repos = repos::read(&root, None, &mut Unread::default());
        let wanted = BTreeSet::from(["openssl-libs"]);
        for repo in &repos.repos {
            for offer in metadata::offers(&root, repo, &wanted).unwrap_or_default() {
                assert_eq!(offer.name, "openssl-libs");
            }
            let _ = metadata::security(&root, repo, &wanted);
        }
    });
}

/// apk's database, what was asked for, which repositories there are; and an index, unpacked or not.
pub fn apk(bytes: &[u8]) {
    thread_local!(static PLACE: Place = Place::new(&[]));
    const FILES: [&str; 3] = ["lib/apk/db/installed", "etc/apk/world", "etc/apk/repositories"];

    PLACE.with(|place| {
        place.put_parts(&FILES, bytes);
        let root = place.root();
        let mut unread = Unread::default();
        if let Some(apk) = Apk::read(&root, &mut unread) {
            let _ = apk.updates(&root, &mut unread);
            let names = apk.packages.iter().map(|package| package.name.as_str()).collect();
            let _ = apk.files(&root, &names);
        }
        let _ = apk::index(bytes, &mut |package| assert!(package.is_plausible()));
    });
}

/// What the kernel writes of processes, sockets, routes and hardware. Names of programs and units in it are their owners' choice.
pub fn proc(bytes: &[u8]) {
    thread_local!(static PLACE: Place = Place::new(&[]));
    const FILES: [&str; 12] = [
        "proc/1/cgroup",
        "proc/1/comm",
        "proc/1/maps",
        "proc/1/net/tcp",
        "proc/1/net/udp6",
        "proc/1/net/route",
        "proc/1/net/ipv6_route",
        "proc/cpuinfo",
        "proc/meminfo",
        "proc/stat",
        "proc/version",
        "proc/sys/kernel/osrelease",
    ];

    PLACE.with(|place| {
        place.put_parts(&FILES, bytes);
        let root = place.root();
        let mut unread = Unread::default();
        let processes = processes::read(&root, &mut unread);
        for process in processes.all.values() {
            assert!(!process.program.contains(char::is_control), "{process:?}");
            assert!(
                process.unit.as_ref().is_none_or(|unit| unit.bytes().all(|b| b.is_ascii_graphic()))
            );
        }
        assert!(sockets::read(&root, &processes, &mut unread).is_sorted());
        let _ = (
            network::read(&root),
            hardware::read(&root),
            live::booted_at(&root),
            live::boot_id(&root),
        );
        let _ = (kernel::running(&root), kernel::running_build(&root));
    });
}

/// A packed stream; the first byte chooses how.
pub fn compressed(bytes: &[u8]) {
    const LIMIT: u64 = 1 << 20;

    let [first, packed @ ..] = bytes else { return };
    let way = Compression::ALL[usize::from(*first) % Compression::ALL.len()];
    let Ok(stream) = way.unpack(packed, LIMIT) else { return };
    let copied = io::copy(&mut stream.take(2 * LIMIT), &mut io::sink()).unwrap_or(0);
    assert!(copied <= LIMIT, "{way:?}: {copied} bytes");
}

/// What the scanner leaves for the reporter: a report, a package set, a transaction, and what was asked.
pub fn share(bytes: &[u8]) {
    const NAME: &str = "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    thread_local!(static PLACE: (Place, Vec<String>) = {
        let contents = ["set", "transaction"].map(|kind| format!("{NAME}.{kind}"));
        let names = ["report.json".to_owned(), "request.json".to_owned()];
        (Place::new(&[]), names.into_iter().chain(contents).collect())
    });

    PLACE.with(|(place, files)| {
        let files: Vec<&str> = files.iter().map(String::as_str).collect();
        place.put_parts(&files, bytes);
        let share = Share::at(place.path().to_owned());
        let _ = (share.report(), share.request());
        // The digest is that of nothing: no other content may pass under it.
        if let Ok(Some(set)) = share.package_set(NAME) {
            assert!(set.packages.is_empty() && set.parts.is_empty());
        }
        if let Ok(Some(transaction)) = share.transaction(NAME) {
            assert!(transaction.changes.is_empty());
        }
    });
}
