#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Adds up a run: every *.tap (cmocka), *.xml (JUnit) and *.list ("pass|fail|skip name") below a folder.

Prints what failed with an excerpt, then the one closing line. Exit code 1 if anything failed or nothing ran.
"""
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

EXCERPT_LINES = 60


def read_tap(path):
    """cmocka explains a failure in comments behind its `not ok`, and exits with the number of failures: another code
    (a crash, a sanitizer's report at exit) or fewer lines than planned is a failure too."""
    plan, seen, lines = 0, [], []
    for line in path.read_text(errors="replace").splitlines():
        if re.match(r"1\.\.\d+$", line):
            plan += int(line[3:])
            continue
        found = re.match(r"(not )?ok\b[ \t]*\d*[ -]*(# SKIP )?(.*)", line)
        if found:
            lines = []
            kind = "skip" if found.group(2) else "fail" if found.group(1) else "pass"
            seen.append((kind, f"{path.stem}: {found.group(3).strip()}", lines))
        else:
            lines.append(line)
    yield from ((kind, name, "\n".join(text)) for kind, name, text in seen)
    code = path.with_suffix(".exit")
    code = int(code.read_text()) if code.exists() else 0
    if plan == 0 or len(seen) < plan or code != sum(kind == "fail" for kind, _, _ in seen):
        yield "fail", f"{path.stem}: ran to its end ({len(seen)} of {plan} tests, exit code {code})", "\n".join(lines)


def read_junit(path):
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        bad = [case.find(kind) for kind in ("failure", "error") if case.find(kind) is not None]
        if bad:
            text = "\n".join((node.text or node.get("message") or "") for node in bad)
            output = case.find("system-out")
            if output is not None and output.text:
                lines = [line for line in output.text.splitlines() if line and "- Captured " not in line]
                text += "\n" + "\n".join(lines[-10:])
            yield "fail", name, text
        elif case.find("skipped") is not None:
            yield "skip", name, case.find("skipped").get("message") or ""
        else:
            yield "pass", name, ""


def read_list(path):
    for line in path.read_text().splitlines():
        kind, name = line.split(" ", 1)
        excerpt = path.with_name(f"{path.stem}.{name.split()[-1]}.log")
        yield kind, f"{path.stem}: {name}", excerpt.read_text(errors="replace") if excerpt.exists() else ""


def main(folder):
    readers = {".tap": read_tap, ".xml": read_junit, ".list": read_list}
    outcomes = {"pass": [], "fail": [], "skip": []}
    for path in sorted(Path(folder).iterdir()):
        if path.suffix in readers:
            try:
                for kind, name, text in readers[path.suffix](path):
                    outcomes[kind].append((name, text))
            except (ElementTree.ParseError, ValueError) as error:
                outcomes["fail"].append((f"{path.name} is readable", str(error)))
    for name, why in outcomes["skip"]:
        print(f"skipped: {name} ({why})" if why else f"skipped: {name}")
    for name, text in outcomes["fail"]:
        print(f"\n=== FAILED: {name}")
        for line in text.strip().splitlines()[-EXCERPT_LINES:]:
            print(f"    {line}")
    if outcomes["fail"]:
        print("\nFailed tests:")
        for name, _ in outcomes["fail"]:
            print(f"  {name}")
    print(f"{len(outcomes['pass'])} passed, {len(outcomes['fail'])} failed, {len(outcomes['skip'])} skipped")
    return 1 if outcomes["fail"] or not outcomes["pass"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
