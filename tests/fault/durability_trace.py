# SPDX-License-Identifier: Apache-2.0
"""Runs a program under strace and reads the trace: one Call per system call, with when it began and when it ended."""
import os
import re
import shutil
import time

FILES = ("open,openat,creat,close,dup,dup2,dup3,mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,"
         "linkat,ftruncate,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,syncfs,sync")
SOCKETS = "accept,accept4,read,readv,recvfrom,recvmsg,sendto,sendmsg"
STRING_MAX = 32 * 1024 * 1024


def strace_command(trace_path, with_sockets=False):
    """The prefix of the command to trace; strings whole and in hexadecimal, descriptors with their paths. The process
    started is the program itself (-D), so that signals reach it; strace may be writing a moment longer."""
    if shutil.which("strace") is None:
        raise FileNotFoundError("strace is not installed")
    calls = FILES + ("," + SOCKETS if with_sockets else "")
    return ["strace", "-D", "-f", "-y", "-xx", "-s", str(STRING_MAX), "-e", "trace=" + calls, "-e", "signal=none",
            "-o", str(trace_path)]


class Call:
    """`begin` and `end` are positions in the trace; what ended before another one began came before it for sure."""

    __slots__ = ("name", "args", "value", "begin", "end")

    def __init__(self, name, args, value, begin, end):
        self.name, self.args, self.value, self.begin, self.end = name, args, value, begin, end

    @property
    def ok(self):
        return self.value >= 0

    def fd(self, i=0):
        """The descriptor in argument i, and the path strace saw behind it; -1 for AT_FDCWD."""
        match = re.match(r"(AT_FDCWD|-?\d+)(?:<([^>]*)>)?", self.args[i])
        number = -1 if match[1] == "AT_FDCWD" else int(match[1])
        return number, unquote(match[2]) if match[2] else ""

    def path(self, i, base=None):
        """The absolute path in argument i, below the folder in argument `base`."""
        text = unquote(self.args[i].strip('"'))
        if text.startswith("/"):
            return text
        folder = self.fd(base)[1] if base is not None else ""
        return f"{folder}/{text}" if folder else text

    def bytes(self, i):
        return raw(self.args[i])

    def __repr__(self):
        return f"{self.name}({', '.join(a[:60] for a in self.args)}) = {self.value} at {self.begin}-{self.end}"


def raw(text):
    r"""The bytes of "\x61\x62"; of a list of iovec, all of them."""
    return b"".join(bytes.fromhex(part.replace("\\x", "")) for part in re.findall(r'"((?:\\x[0-9a-f]{2})*)"', text))


def unquote(text):
    return re.sub(r"((?:\\x[0-9a-f]{2})+)", lambda m: bytes.fromhex(m[1].replace("\\x", "")).decode(), text)


def split_args(text):
    """Splits at the top level; strings are hexadecimal, so they hold no comma or bracket."""
    args, depth, start = [], 0, 0
    for match in re.finditer(r"[\[\]{}]|, ", text):
        mark = match[0]
        if mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        elif depth == 0:
            args.append(text[start:match.start()])
            start = match.end()
    args.append(text[start:])
    return args


def wait_for_trace(path, wait_s=60):
    """Until strace has written the program's last line."""
    deadline = time.monotonic() + wait_s
    while True:
        with open(path, "rb") as trace:
            pid = trace.readline().split()[0]
            trace.seek(max(0, os.path.getsize(path) - 4096))
            if re.search(rb"(^|\n)" + pid + rb" +\+\+\+ (exited|killed)[^\n]*\n$", trace.read()):
                return
        assert time.monotonic() < deadline, f"strace has not finished {path}"
        time.sleep(0.05)


LINE = re.compile(r"(\d+) +(?:(\w+)\(|<\.\.\. (\w+) resumed>)")
RESULT = re.compile(r"\) *= (-?\d+|\?)[^=]*$", re.S)


def read_trace(path):
    """All calls that ended, in the order they ended."""
    wait_for_trace(path)
    calls, unfinished = [], {}
    with open(path, encoding="ascii", errors="surrogateescape") as lines:
        for position, line in enumerate(lines):
            head = LINE.match(line)
            if head is None:
                continue  # exits
            pid, name = head[1], head[2] or head[3]
            text = line[head.end():].rstrip("\n")
            begin = position
            if head[3]:
                begun = unfinished.pop(pid, None)
                if begun is None:
                    continue
                begin, text = begun[0], begun[1] + text
            if text.endswith(" <unfinished ...>"):
                unfinished[pid] = (begin, text[:-len(" <unfinished ...>")])
                continue
            result = RESULT.search(text)
            if result is None or result[1] == "?":
                continue
            calls.append(Call(name, split_args(text[:result.start()]), int(result[1]), begin, position))
    return calls
