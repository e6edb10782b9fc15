# Asks dnf what it would do, on a copy of a system's state: no privilege, no plugin, no network, nothing changed.
# Reads a plan (JSON) named by the first argument, writes lines `+ name arch version` (comes) and `- name arch version` (goes).
import json
import sys

try:
    import dnf
    import dnf.conf
    import dnf.exceptions
    import dnf.repo
except ImportError:
    print("the Python module dnf is not installed here", file=sys.stderr)
    sys.exit(3)

with open(sys.argv[1], encoding="utf-8") as file:
    plan = json.load(file)

conf = dnf.conf.Conf()
conf.installroot = plan["root"]
conf.cachedir = conf.persistdir = conf.logdir = plan["cache"]
conf.plugins = False
conf.reposdir = []
conf.substitutions["arch"] = plan["arch"]
conf.substitutions["basearch"] = plan["arch"]
conf.substitutions["releasever"] = plan["release"]
conf.excludepkgs = plan["excludes"]
if plan["platform"]:
    conf.module_platform_id = plan["platform"]
base = dnf.Base(conf)
for known in plan["repos"]:
    repo = dnf.repo.Repo(known["id"], conf)
    repo.baseurl = ["file://" + known["folder"]]
    repo.priority = known["priority"]
    repo.excludepkgs = known["excludes"]
    repo.skip_if_unavailable = False
    base.repos.add(repo)

try:
    base.fill_sack()
    wanted = plan["wanted"]
    if wanted is None:
        base.upgrade_all()
    else:
        installed = base.sack.query().installed().apply()
        for name, arch, version in wanted["comes"]:
            offered = base.sack.query().available().filter(name=name, arch=[arch, "noarch"], evr=version)
            if not offered:
                raise dnf.exceptions.Error(f"no repository offers {name} {version}")
            here = installed.filter(name=name, arch=[arch, "noarch"])
            if here and all(offered[0].evr_lt(other) for other in here):
                base.package_downgrade(offered[0])
            else:
                base.package_upgrade(offered[0])
        for name, arch in wanted["goes"]:
            for package in installed.filter(name=name, arch=arch):
                base.package_remove(package)
    # What needs a package that goes, goes along.
    base.resolve(allow_erasing=bool(wanted and wanted["goes"]))
except (dnf.exceptions.Error, OSError) as error:
    print(str(error).strip(), file=sys.stderr)
    sys.exit(1)

for sign, packages in (("+", base.transaction.install_set), ("-", base.transaction.remove_set)):
    for package in packages:
        print(sign, package.name, package.arch, package.evr)
