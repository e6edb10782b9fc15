# Does what the agent's worker asks of dnf on the worker's own host: `refresh`, `simulate`, `download`, `install`, with a plan (JSON).
# Writes what it would do as lines `+ name arch version` (comes) and `- name arch version` (goes); an error goes to standard error.
# Signatures are checked whatever the host's configuration says, and nothing but what the plan names is asked for.
import json
import sys

try:
    import dnf
    import dnf.callback
    import dnf.exceptions
    import dnf.repo
    import dnf.rpm
    import libdnf.error
    import libdnf.transaction
except ImportError as error:
    sys.exit(f"the Python module dnf cannot be used: {error}")


class Display(dnf.callback.TransactionProgress):
    """Says what rpm does, and remembers what went wrong with it: dnf itself calls a failed script a warning."""

    def __init__(self):
        super().__init__()
        self.wrong = []

    def progress(self, package, action, ti_done, ti_total, ts_done, ts_total):
        if ti_done == ti_total:
            print(f"{dnf.transaction.ACTIONS.get(action, action)}: {package}", flush=True)

    def error(self, message):
        self.wrong.append(str(message))

    def scriptout(self, msgs):
        text = msgs.decode(errors="replace") if isinstance(msgs, bytes) else str(msgs or "")
        for line in text.splitlines():
            print(line, flush=True)
            if "scriptlet failed" in line:
                self.wrong.append(line)


def prepared(fresh):
    base = dnf.Base()
    conf = base.conf
    conf.read()
    # Where no package says which release this is, dnf leaves a hole on which it stumbles.
    conf.substitutions["releasever"] = dnf.rpm.detect_releasever(conf.installroot) or ""
    conf.substitutions.update_from_etc(conf.installroot)
    base.init_plugins()
    base.pre_configure_plugins()
    base.read_all_repos()
    base.configure_plugins()
    conf.gpgcheck = conf.localpkg_gpgcheck = True
    conf.deltarpm = False
    # What is only recommended is done if it was approved, that is, if it is named.
    conf.install_weak_deps = False
    for repo in base.repos.iter_enabled():
        repo.gpgcheck = True
        repo.skip_if_unavailable = False
        if fresh:
            repo._repo.expire()
        else:
            # What was compared is what is done: the metadata are not fetched again in between.
            repo._repo.setSyncStrategy(dnf.repo.SYNC_LAZY)
    return base


def ask(base, changes):
    local = [change["file"] for change in changes if change["file"]]
    local = {str(package): package for package in base.add_remote_rpms(local)} if local else {}
    installed = base.sack.query().installed().apply()
    available = base.sack.query().available().apply()
    for change in changes:
        name, arch, old, new = change["name"], change["arch"], change["from"], change["to"]
        here = installed.filter(name=name, arch=[arch, "noarch"])
        if new == "-":
            for package in here.filter(evr=old):
                base.package_remove(package)
            continue
        offered = [package for package in local.values() if (package.name, package.arch, package.evr) == (name, arch, new)]
        offered = offered or list(available.filter(name=name, arch=arch, evr=new))
        if not offered:
            raise dnf.exceptions.Error(f"no repository offers {name} {new} for {arch}")
        package = offered[0]
        if here.filter(evr=new):
            base.package_reinstall(package)
        elif old == "-":
            base.package_install(package)
        elif here and all(package.evr_lt(other) for other in here):
            base.package_downgrade(package)
        else:
            base.package_upgrade(package)
    base.resolve(allow_erasing=any(change["to"] == "-" for change in changes))


def told(base):
    if not base.transaction:
        return []
    comes = [f"+ {package.name} {package.arch} {package.evr}" for package in base.transaction.install_set]
    goes = [f"- {package.name} {package.arch} {package.evr}" for package in base.transaction.remove_set]
    return sorted(comes) + sorted(goes)


def reasons(base):
    """Why what goes had come: what somebody asked for is asked for again where it comes back."""
    removal = libdnf.transaction.TransactionItemAction_REMOVE
    goes = {(item.name, item.arch): item for item in base.transaction or [] if item.action == removal}
    return [f"= {name} {arch} {'user' if base.history.user_installed(item.pkg) else 'other'}" for (name, arch), item in sorted(goes.items())]


def is_of_this_host(repo_key):
    return repo_key.startswith("file:")


def check_signatures(base, may_import):
    """A key that is not imported yet is taken only where the host itself has it as a file."""
    for package in base.transaction.install_set:
        result, message = base.package_signature_check(package)
        if result == 0:
            continue
        keys = [] if package._from_cmdline else base.repos[package.repoid].gpgkey
        if result != 1 or not keys or not all(map(is_of_this_host, keys)):
            raise dnf.exceptions.Error(f"{message}; import its key with rpm --import, or name it by gpgkey=file://")
        if may_import:
            base.package_import_key(package, askcb=lambda *asked: True)


def main(verb, path):
    with open(path, encoding="utf-8") as file:
        plan = json.load(file)
    base = prepared(fresh=verb == "refresh")
    if verb == "refresh":
        base.fill_sack(load_system_repo=False)
        return
    base.fill_sack()
    ask(base, plan["changes"])
    if verb == "simulate":
        print("\n".join(told(base) + reasons(base)))
        return
    if told(base) != plan["expected"]:
        raise dnf.exceptions.Error("the transaction is another one than a moment ago: " + "; ".join(told(base)))
    if not base.transaction:
        return
    base.download_packages(list(base.transaction.install_set))
    check_signatures(base, may_import=verb == "install")
    if verb == "install":
        # As dnf's own history shows it.
        base.args = ["hozen-agent", verb]
        before = {package.name for package in base.sack.query().installed()}
        wished = {(change["name"], change["arch"]) for change in plan["changes"] if change["wished"]}
        for item in base.transaction:
            if (item.name, item.arch) in wished:
                continue
            # What comes along is nobody's wish, although it is named here.
            if item.action == libdnf.transaction.TransactionItemAction_INSTALL and item.name not in before:
                item.reason = libdnf.transaction.TransactionItemReason_DEPENDENCY
        display = Display()
        base.do_transaction(display)
        if display.wrong:
            raise dnf.exceptions.Error("; ".join(display.wrong))


try:
    main(*sys.argv[1:])
except (dnf.exceptions.Error, libdnf.error.Error, OSError) as error:
    sys.exit(str(error).strip())
