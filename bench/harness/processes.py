# SPDX-License-Identifier: Apache-2.0
"""Starting and stopping what is measured: pinned, with a clean environment, never left behind."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

SERVER_CORE = 0
LOAD_CORE = 1


class BenchError(Exception):
    pass


def clean_environment(**extra):
    """No proxy, no CA bundle, nothing of the caller's that a server could read."""
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LANG": "C", "HOME": "/nonexistent", **extra}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(command):
    return ["setpriv", "--pdeathsig", "KILL", "taskset", "-c", str(SERVER_CORE), *command]


class Stage:
    """Owns every process and folder of a run: leaving it ends and removes all of them."""

    def __init__(self, disk_folder):
        self.disk_folder = disk_folder
        self.processes = []
        self.folders = []

    def __enter__(self):
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        return self

    def __exit__(self, *_):
        for process in list(self.processes):
            self.end(process)
        for folder in list(self.folders):
            self.remove(folder)

    def folder(self, where="tmpfs"):
        parent = "/dev/shm" if where == "tmpfs" else self.disk_folder
        os.makedirs(parent, exist_ok=True)
        path = tempfile.mkdtemp(prefix="minato-bench-", dir=parent)
        self.folders.append(path)
        return path

    def remove(self, folder):
        shutil.rmtree(folder, ignore_errors=True)
        self.folders.remove(folder)

    def start(self, command, **keywords):
        keywords.setdefault("env", clean_environment())
        if keywords.get("text"):
            keywords.setdefault("errors", "replace")
        process = subprocess.Popen(command, **keywords)
        self.processes.append(process)
        return process

    def end(self, process, number=signal.SIGTERM):
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.remove(process)

    def run(self, command, timeout=300, codes=(0,)):
        """Runs a load client to its end, which is one of `codes`, and returns its standard output."""
        process = self.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired as late:
            raise BenchError(f"{command[0]}: no end after {timeout} s") from late
        finally:
            self.end(process)
        if process.returncode not in codes:
            raise BenchError(f"{' '.join(map(str, command))}: exit {process.returncode}\n{err}")
        return out


def user_seconds_of(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
            return int(stat.read().rsplit(")", 1)[1].split()[11]) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0


class Neighbours:
    """User time that processes other than ours took since it was made, as a share of one core."""

    def __init__(self, stage):
        self.stage = stage
        self.begun = time.monotonic()
        self.base = self.foreign_seconds()

    def foreign_seconds(self):
        with open("/proc/stat", encoding="ascii") as stat:
            user, nice = map(int, stat.readline().split()[1:3])
        ours = sum(resource.getrusage(who).ru_utime for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        ours += sum(user_seconds_of(process.pid) for process in self.stage.processes if process.returncode is None)
        return (user + nice) / os.sysconf("SC_CLK_TCK") - ours

    def share(self):
        return (self.foreign_seconds() - self.base) / max(time.monotonic() - self.begun, 0.01)


def cpu_seconds(pid):
    """User and system time of all threads of a process so far, from its own CPU clock."""
    return time.clock_gettime((~pid << 3) | 2)


def status_kib(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1])
    raise BenchError(f"no {field} of process {pid}")
