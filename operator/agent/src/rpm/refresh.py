# Fetches the metadata of the repositories that a plan (JSON, named by the first argument) names, with dnf's own checks and into a cache
# of its own: no privilege, no plugin, nothing installed. What could not be fetched or verified is written to standard error, a line each.
import json
import sys

try:
    import dnf
    import dnf.conf
    import dnf.exceptions
    import dnf.rpm
except ImportError:
    print("the Python module dnf is not installed here", file=sys.stderr)
    sys.exit(3)

with open(sys.argv[1], encoding="utf-8") as file:
    plan = json.load(file)

conf = dnf.conf.Conf()
conf.read(plan["conf"])
conf.installroot = plan["root"]
conf.cachedir = plan["metadata"]
conf.persistdir = conf.logdir = plan["cache"]
conf.plugins = False
conf.reposdir = [plan["repos"]]
conf.timeout = 20
conf.retries = 1
conf.substitutions["arch"] = plan["arch"]
conf.substitutions["basearch"] = dnf.rpm.basearch(plan["arch"])
conf.substitutions["releasever"] = dnf.rpm.detect_releasever(plan["root"]) or plan["release"]
conf.substitutions.update_from_etc(plan["root"])
base = dnf.Base(conf)
wrong = False
try:
    base.read_all_repos()
except (dnf.exceptions.Error, OSError) as error:
    sys.exit(str(error).strip())
for repo in base.repos.iter_enabled():
    repo.sslverify = True
    repo.skip_if_unavailable = False
    try:
        repo._repo.expire()
        repo.load()
    except (dnf.exceptions.Error, RuntimeError, OSError) as error:
        wrong = True
        words = " ".join(str(error).split())
        print(f"repository {repo.id}: {words}", file=sys.stderr)
sys.exit(1 if wrong else 0)
