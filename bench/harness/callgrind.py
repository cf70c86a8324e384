# SPDX-License-Identifier: Apache-2.0
"""A server under callgrind: what it executes between two moments, by function."""

import glob
import os
import re
import subprocess
from collections import Counter

from processes import BenchError, clean_environment


def under_callgrind(kind):
    """The same kind of server, started under callgrind."""

    class Counted(kind):
        start_seconds = 60

        def command(self):
            return ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={self.scratch}/callgrind",
                    *super().command()]

        def instructions(self, work):
            """Counter of (object, source file, function): what `work` has the server execute."""
            self.control("-z")
            work()
            self.control("-d")
            newest = max(glob.glob(f"{self.scratch}/callgrind.*"), key=lambda path: int(path.rsplit(".", 1)[1]))
            return read_profile(newest)[0]

        def control(self, option):
            done = subprocess.run(["callgrind_control", option, str(self.pid)], env=clean_environment(), check=False,
                                  capture_output=True, text=True, timeout=120)
            if "OK." not in done.stdout:
                raise BenchError(f"callgrind_control {option}: {done.stdout}{done.stderr}")

    return Counted


def read_profile(path):
    """Of a file in callgrind's format: each function's own instructions by (object, source file, name), and how often each
    name is called. A name is written out once and then goes by its number; the line behind "calls=" is the callee's."""
    names, current, own, calls = {}, {}, Counter(), Counter()
    callee, is_callees = None, False
    with open(path, encoding="utf-8", errors="replace") as profile:
        for line in profile:
            named = re.match(r"(c?)(ob|fl|fi|fe|fn)=\((\d+)\)(?: (.*))?$", line)
            if named:
                is_called, kind, number, text = named.groups()
                space = kind if kind in ("ob", "fn") else "fl"
                name = names.setdefault((space, number), text)
                if is_called and kind == "fn":
                    callee = name
                elif not is_called and kind not in ("fi", "fe"):  # what is inlined counts where it is
                    current[kind] = name
            elif line.startswith("calls="):
                calls[callee] += int(line[6:].split()[0])
                is_callees = True
            elif re.match(r"[+\-*\d]", line):
                if not is_callees:
                    own[os.path.basename(current["ob"]), current["fl"], current["fn"]] += int(line.split()[1])
                is_callees = False
    return own, calls
