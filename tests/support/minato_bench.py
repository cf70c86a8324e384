# SPDX-License-Identifier: Apache-2.0
"""Runs minato-bench, from the build of the server under test."""
import json
import os
import subprocess

import minato
from users import PASSWORD

# A hundredth of a second's work: two layers of four KiB.
SMALL = ("--layers", "2", "--layer-size", "4K")


class Outcome:
    def __init__(self, code, output, errors, peak_kib):
        self.code, self.output, self.errors, self.peak_kib = code, output, errors, peak_kib

    def results(self):
        return {**json.loads(self.output), "exit": self.code, "stderr": self.errors, "peak_kib": self.peak_kib}


def run(folder, *arguments, password=PASSWORD):
    """To its end; no sanitizer may have spoken. `folder` is for its output."""
    report = folder / "sanitizer"
    options = f"log_path={report}:exitcode=99:detect_leaks=1"
    env = minato.clean_environment(ASAN_OPTIONS=options, UBSAN_OPTIONS=options, MINATO_BENCH_PASSWORD=password)
    command = [minato.binary().parent / "minato-bench", *map(str, arguments)]
    with open(folder / "out", "w+") as out, open(folder / "err", "w+") as err:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env)
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                process.kill()
                process.wait()
        out.seek(0)
        err.seek(0)
        outcome = Outcome(process.returncode, out.read(), err.read(), usage.ru_maxrss)
    reports = sorted(folder.glob("sanitizer*"))
    assert not reports, reports[0].read_text()
    return outcome
