#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the OCI distribution-spec's conformance program against a minato of its own, twice, every option on:

    everything   validation off, so that sparse manifests must be taken too; every request carries a password
    defaults     the default validation; anybody may push, so that only deletes are asked for a password (and nothing
                 else has one: a session that was begun without is not continued with it)

    oci.py FOLDER     FOLDER/conformance-<run>.xml: each conformance test as a JUnit case, for tests/support/tally.py;
                      FOLDER/conformance-<run>/: what the program wrote; report.html shows every request and reply

With MINATO_TESTS_STORE=s3 on a bucket and Redis (tests/support/shared_store.py); the runs are then called <run>-s3.

What the program calls skipped or disabled is a failure here: every option is on, so the registry does not support it.
Its summary by API is not used: there a pass hides what was skipped before it.
"""
import collections
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import go_tools  # noqa: E402
import images  # noqa: E402
import minato  # noqa: E402
import shared_store  # noqa: E402

APIS = """PING PULL PUSH BLOBS_ATOMIC BLOBS_DELETE BLOBS_DIGEST_HEADER BLOBS_MOUNT_ANONYMOUS BLOBS_UPLOAD_CANCEL
    MANIFESTS_ATOMIC MANIFESTS_DELETE MANIFESTS_DIGEST_HEADER MANIFESTS_TAG_PARAM TAGS_ATOMIC TAGS_DELETE TAGS_LIST
    REFERRER""".split()
DATA = """IMAGE INDEX INDEX_LIST ARTIFACT SUBJECT SUBJECT_MISSING ARTIFACT_LIST SUBJECT_LIST DATA_FIELD NONDISTRIBUTABLE
    CUSTOM_FIELDS NO_LAYERS EMPTY_BLOB SHA512""".split()
RUNS = {
    "everything": {"sparse": True, "anonymous": "none", "validation": {"layers": False, "children": False}},
    "defaults": {"sparse": False, "anonymous": "push"},
}
USER, PASSWORD = "conformance", "wonder land"
TESTS_AT_LEAST = 700  # a run of fewer stopped early
RUN_S = 300


class Report:
    """JUnit cases of one run."""

    def __init__(self, name):
        self.name = name
        self.suite = ElementTree.Element("testsuite", name=f"conformance-{name}")
        self.failed = 0

    def add(self, name, problem=None, skipped=None):
        case = ElementTree.SubElement(self.suite, "testcase", classname=f"conformance.{self.name}", name=name)
        if problem is not None:
            ElementTree.SubElement(case, "failure").text = _printable(problem)
            self.failed += 1
        elif skipped is not None:
            ElementTree.SubElement(case, "skipped", message=skipped)

    def write(self, folder):
        ElementTree.ElementTree(self.suite).write(Path(folder) / f"conformance-{self.name}.xml", encoding="unicode")


def _printable(text):
    return re.sub(r"[^\t\n\x20-\uffff]", "?", text)


def run_program(program, server, run, results):
    """The program over two empty repositories; its exit code says less than its report."""
    options = {f"OCI_API_{name}": "true" for name in APIS}
    options.update({f"OCI_DATA_{name}": "true" for name in DATA})
    options.update(OCI_DATA_SPARSE="true" if run["sparse"] else "false", OCI_VERSION="dev", OCI_REGISTRY=server.address,
                   OCI_TLS="disabled", OCI_REPO1="conformance/repo1", OCI_REPO2="conformance/repo2", OCI_USERNAME=USER,
                   OCI_PASSWORD=PASSWORD, OCI_CACHE_AUTH="true" if run["anonymous"] == "none" else "false",
                   OCI_RESULTS_DIR=str(results))
    return subprocess.run([program], env=minato.clean_environment(**options), cwd=results, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, errors="replace", timeout=RUN_S, check=False)


def add_cases(report, junit):
    """Each leaf of the program's tree; a name that comes again is numbered."""
    seen = collections.Counter()
    for case in junit.iter("testcase"):
        name = case.get("name").split("/", 1)[-1]
        seen[name] += 1
        if seen[name] > 1:
            name += f" #{seen[name]}"
        status = case.get("status")
        if status == "passed":
            report.add(name)
            continue
        requests = re.findall(r"^(?:Method|URL|Status): .*", case.findtext("system-err") or "", re.M)
        said = (case.findtext("system-out") or case.findtext("system-err") or "").strip()
        report.add(name, "\n".join([f"the program says: {status}", said[:2000], *requests[-9:]]))
    return sum(seen.values())


def check_whole(report, junit, run, count, done):
    """That the program ran to its end, with the options it was to have, and that nothing hides behind its leaves."""
    problems = []
    if count < TESTS_AT_LEAST:
        problems.append(f"only {count} tests ran")
    config = junit.find(".//property[@name='Config']").get("value")
    off = re.findall(r"^ +(\w+): false$", config, re.M)
    if off != ([] if run["sparse"] else ["sparse"]):
        problems.append(f"options that are off: {off}")
    counts = {name: int(junit.get(name, 0)) for name in ("failures", "errors", "skipped", "disabled")}
    if report.failed == 0 and (any(counts.values()) or done.returncode != 0):
        problems.append(f"no test failed, but the program counts {counts} and ended with {done.returncode}")
    if problems:
        problems += [done.stdout[-1500:], done.stderr[-1500:]]
    report.add("ran to its end with every option", "\n".join(problems) if problems else None)


def conform(name, run, program, folder):
    report = Report(name)
    results = folder / f"conformance-{name}"
    results.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="minato-test-") as work:
        users = images.htpasswd_file(Path(work) / "htpasswd", **{USER: PASSWORD})
        config = {"auth": {"anonymous": run["anonymous"], "htpasswd": {"file": users}}}
        if "validation" in run:
            config["validation"] = run["validation"]
        server = minato.Minato(folder=Path(work) / "server", config=config)
        try:
            server.start()
            done = run_program(program, server, run, results)
            junit = ElementTree.parse(results / "junit.xml").getroot()
            check_whole(report, junit, run, add_cases(report, junit), done)
            server.stop()
            report.add("the server stops cleanly")
        except Exception as error:  # noqa: BLE001 - told as a failed test
            report.add("the run", f"{type(error).__name__}: {error}\n{server.log_tail(15)}")
        finally:
            server.kill()
            if server.log_path.exists():
                (results / "server.log").write_text(server.log_text())
    report.write(folder)
    cases = len(report.suite)
    print(f"{name}: {cases - report.failed} passed, {report.failed} failed", flush=True)


def main(folder):
    folder = Path(folder).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    store = os.environ.get("MINATO_TESTS_STORE")
    suffix = f"-{store}" if store else ""
    report = Report(f"program{suffix}")
    program = None
    try:
        why = go_tools.missing("conformance")
        if why:
            report.add("distribution-spec", skipped=why)
        else:
            program = go_tools.build("conformance")
    except subprocess.CalledProcessError as error:
        report.add("distribution-spec", error.stderr[-4000:])
    if program is None:
        report.write(folder)
        print(f"not run: {why or 'the program does not build'}")
        return
    with shared_store.from_environment():
        for name, run in RUNS.items():
            conform(name + suffix, run, program, folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: oci.py FOLDER")
    main(sys.argv[1])
