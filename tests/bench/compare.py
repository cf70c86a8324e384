# SPDX-License-Identifier: Apache-2.0
"""bench/compare/run.sh as a user runs it. tests/soak/compare.py has it measure."""
import subprocess

from minato import ROOT, clean_environment

COMMAND = ROOT / "bench" / "compare" / "run.sh"
SERVERS = {"minato", "docker-registry", "distribution", "zot", "limits"}
SCENARIOS = {"manifest-by-tag", "blob-redirect", "pull-storm", "pull-no-follow", "push-storm", "ci-fleet", "single-large",
             "tag-churn"}


def run(*arguments, code=0):
    done = subprocess.run([COMMAND, *map(str, arguments)], env=clean_environment(), capture_output=True, text=True,
                          timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_help_names_the_options():
    text = run("--help").stdout
    for option in ("--quick", "--rounds", "--only", "--list", "--disk", "--markdown", "--json"):
        assert option in text


def test_list_names_every_server_store_and_scenario():
    seen = {}
    for line in run("--list").stdout.splitlines():
        kind, name, *_ = line.split()
        seen.setdefault(kind, set()).add(name)
    assert seen == {"server": SERVERS, "store": {"filesystem", "ceph"}, "scenario": SCENARIOS}


def test_unknown_name_is_refused():
    assert "invalid choice: 'harbor'" in run("--no-build", "--only", "harbor", code=2).stderr
