# SPDX-License-Identifier: Apache-2.0
"""A filesystem that keeps nothing it was not told to sync: rebuilt from a trace, it answers what a power failure at
any moment may leave.

    bytes of a file      safe once fsync or fdatasync of it has returned, if they were written before it was called
    a name in a folder   safe once fsync of that folder has returned, if it was made (or removed) before it was called;
                         the trace cannot tell when in a call that was, so one that had begun counts as before
    a rename             two changes, one in each folder: either may come through without the other
    all the rest         each write, each size and each name separately may be on the disk, or not, in any combination
"""
import functools
import os


class Inode:
    __slots__ = ("number", "is_folder", "base", "pending", "names", "synced")

    def __init__(self, number, is_folder):
        self.number, self.is_folder = number, is_folder
        self.base = {} if is_folder else b""  # what is on the disk for sure
        self.pending = []  # (position, change): not synced
        self.names = {}  # folders: as the program sees them
        self.synced = -1  # where in the trace the last sync began that has returned

    def settle(self, before):
        """What came before `before` is on the disk."""
        self.synced = max(self.synced, before)
        done = [change for position, change in self.pending if position < before]
        self.pending = [(position, change) for position, change in self.pending if position >= before]
        if self.is_folder:
            self.base.update(done)
            self.base = {name: inode for name, inode in self.base.items() if inode is not None}
        else:
            for change in done:
                self.base = apply(self.base, change)


def apply(content, change):
    """change: (offset, bytes), or (size, None) for a truncation."""
    offset, data = change
    if data is None:
        return content[:offset].ljust(offset, b"\0")
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data):]


class NotYet(Exception):
    """The call fits only after another one that ended later in the trace: the two overlapped."""


class Model:
    """The folder `root` through a trace, starting empty."""

    def __init__(self, root):
        self.root_path = os.path.realpath(root)
        self.inodes = []
        self.root = self.new_inode(True)
        self.fds = {}  # number -> [inode, offset]
        self.glances = {}

    def new_inode(self, is_folder):
        inode = Inode(len(self.inodes), is_folder)
        self.inodes.append(inode)
        return inode

    # ---- names ----

    def relative(self, path):
        path = os.path.normpath(path)
        if path == self.root_path:
            return ""
        return path[len(self.root_path) + 1:] if path.startswith(self.root_path + "/") else None

    def lookup(self, relative):
        inode = self.root
        for name in relative.split("/") if relative else []:
            inode = inode.names.get(name) if inode is not None and inode.is_folder else None
        return inode

    def read(self, relative):
        """The bytes of a file as the program sees them; None: it is not there."""
        inode = self.lookup(relative)
        if inode is None or inode.is_folder:
            return None
        return functools.reduce(lambda content, change: apply(content, change[1]), inode.pending, inode.base)

    def parent(self, relative):
        folder, _, name = relative.rpartition("/")
        inode = self.lookup(folder)
        if inode is None or not inode.is_folder:
            raise NotYet(f"no folder {folder}")
        return inode, name

    def set_name(self, relative, inode, call):
        folder, name = self.parent(relative)
        if inode is None:
            if name not in folder.names:
                raise NotYet(f"no {relative}")
            del folder.names[name]
        else:
            folder.names[name] = inode
        folder.pending.append((call.begin, (name, inode)))
        if call.begin < folder.synced:
            folder.settle(folder.synced)

    # ---- calls ----

    def play(self, calls, is_early=lambda call: False):
        """Yields each call after its effect, in the order they ended; when it began, if `is_early` or if it closes a
        descriptor, whose number may be given out again at once."""
        events = []
        for order, call in enumerate(calls):
            early = call.name in ("close", "dup2", "dup3") or is_early(call)
            events.append((call.begin if early else call.end, order, call, self.do))
            if call.name == "openat" and call.ok:
                events.append((call.begin, order, call, self.glance))
        waiting = []
        for _, _, call, action in sorted(events, key=lambda event: event[:2]):
            if action == self.glance:
                self.glance(call)
                continue
            waiting.append(call)
            progress = True
            while progress:
                progress = False
                for one in list(waiting):
                    try:
                        self.do(one)
                    except NotYet:
                        continue
                    waiting.remove(one)
                    progress = bool(waiting)
                    yield one
            if len(waiting) > 64:
                raise RuntimeError(f"the trace does not fit together: {waiting[0]}")
        if waiting:
            raise RuntimeError(f"the trace does not fit together: {waiting[0]}")

    def glance(self, call):
        """What an open would find when it began: it may be deleted by a call that overlaps it."""
        relative = self.relative(call.path(1, 0))
        self.glances[call] = self.lookup(relative) if relative is not None else None

    def do(self, call):
        action = getattr(self, "do_" + call.name, None)
        if action is not None and call.ok:
            action(call)

    def opened(self, call, relative, flags):
        glanced = self.glances.pop(call, None)
        self.fds.pop(call.value, None)
        if relative is None:
            return
        inode = self.lookup(relative)
        if inode is None and "O_CREAT" in flags:
            inode = self.new_inode(False)
            self.set_name(relative, inode, call)
        elif inode is None:
            inode = glanced
            if inode is None:
                return  # made and removed by calls that overlap this one; nothing written through it is counted
        elif "O_TRUNC" in flags and not inode.is_folder:
            inode.pending.append((call.end, (0, None)))
        self.fds[call.value] = [inode, 0]

    def do_openat(self, call):
        self.opened(call, self.relative(call.path(1, 0)), call.args[2])

    def do_open(self, call):
        self.opened(call, self.relative(call.path(0)), call.args[1])

    def do_creat(self, call):
        self.opened(call, self.relative(call.path(0)), "O_CREAT|O_TRUNC")

    def do_close(self, call):
        self.fds.pop(call.fd()[0], None)

    def do_dup(self, call):
        if call.fd()[0] in self.fds:
            self.fds[call.value] = self.fds[call.fd()[0]]

    do_dup2 = do_dup3 = do_dup

    def file(self, call):
        return self.fds.get(call.fd()[0])

    def written(self, call, offset, data):
        entry = self.file(call)
        if entry is None:
            return
        data = data[:call.value]
        if offset is None:
            offset, entry[1] = entry[1], entry[1] + len(data)
        entry[0].pending.append((call.end, (offset, data)))

    def do_write(self, call):
        if self.file(call) is not None:
            self.written(call, None, call.bytes(1))

    do_writev = do_write

    def do_pwrite64(self, call):
        if self.file(call) is not None:
            self.written(call, int(call.args[3]), call.bytes(1))

    do_pwritev = do_pwritev2 = do_pwrite64

    def do_ftruncate(self, call):
        entry = self.file(call)
        if entry is not None:
            entry[0].pending.append((call.end, (int(call.args[1]), None)))

    def do_fsync(self, call):
        entry = self.file(call)
        if entry is not None:
            entry[0].settle(call.begin)

    do_fdatasync = do_fsync

    def do_syncfs(self, call):
        for inode in self.inodes:
            inode.settle(call.begin)

    do_sync = do_syncfs

    def made_folder(self, call, relative):
        if relative:
            self.parent(relative)
            self.set_name(relative, self.new_inode(True), call)

    def do_mkdirat(self, call):
        self.made_folder(call, self.relative(call.path(1, 0)))

    def do_mkdir(self, call):
        self.made_folder(call, self.relative(call.path(0)))

    def removed(self, call, relative):
        if relative:
            self.set_name(relative, None, call)

    def do_unlinkat(self, call):
        self.removed(call, self.relative(call.path(1, 0)))

    def do_unlink(self, call):
        self.removed(call, self.relative(call.path(0)))

    do_rmdir = do_unlink

    def renamed(self, call, old, new, keep=False):
        if old is None or new is None:
            return
        inode = self.lookup(old)
        if inode is None:
            raise NotYet(old)
        self.parent(new)
        if not keep:
            self.set_name(old, None, call)
        self.set_name(new, inode, call)

    def do_renameat2(self, call):
        self.renamed(call, self.relative(call.path(1, 0)), self.relative(call.path(3, 2)))

    do_renameat = do_renameat2

    def do_rename(self, call):
        self.renamed(call, self.relative(call.path(0)), self.relative(call.path(1)))

    def do_linkat(self, call):
        self.renamed(call, self.relative(call.path(1, 0)), self.relative(call.path(3, 2)), keep=True)

    def do_link(self, call):
        self.renamed(call, self.relative(call.path(0)), self.relative(call.path(1)), keep=True)


class Image:
    """What one power failure leaves; `choose(kind, n)` picks which of n things that may have happened did.

    kind "name": 0 is the synced state of the name, i the state after its i-th unsynced change.
    kind "data": of one write, 0 lost, 1 there, 2 the size there and the bytes not.
    """

    def __init__(self, model, choose):
        self.model, self.choose = model, choose
        self.folders, self.files = {}, {}

    def names(self, folder):
        if folder.number not in self.folders:
            states = {name: [inode] for name, inode in folder.base.items()}  # each name's history since it was synced
            for _, (name, inode) in folder.pending:
                states.setdefault(name, [None]).append(inode)
            picked = {name: ways[self.choose("name", len(ways))] for name, ways in states.items()}
            self.folders[folder.number] = {name: inode for name, inode in picked.items() if inode is not None}
        return self.folders[folder.number]

    def content(self, inode):
        if inode.number not in self.files:
            content = inode.base
            for _, change in inode.pending:
                way = self.choose("data", 3 if change[1] is not None else 2)
                if way == 1:
                    content = apply(content, change)
                elif way == 2:
                    content = content.ljust(change[0] + len(change[1]), b"\0")
            self.files[inode.number] = content
        return self.files[inode.number]

    def read(self, relative):
        """The bytes of a file; None: it is not there."""
        inode = self.model.root
        for name in relative.split("/"):
            inode = self.names(inode).get(name) if inode is not None and inode.is_folder else None
        return None if inode is None or inode.is_folder else self.content(inode)

    def walk(self, folder=None, prefix=""):
        """(path, bytes) of every file that can be reached."""
        for name, inode in sorted(self.names(folder or self.model.root).items()):
            if inode.is_folder:
                yield from self.walk(inode, prefix + name + "/")
            else:
                yield prefix + name, self.content(inode)

    def write_to(self, target):
        """Makes it a folder on the disk, for a server to be started on."""
        def make(folder, path):
            os.makedirs(path, exist_ok=True)
            for name, inode in self.names(folder).items():
                below = os.path.join(path, name)
                if inode.is_folder:
                    make(inode, below)
                else:
                    with open(below, "wb") as out:
                        out.write(self.content(inode))
        make(self.model.root, target)


def nothing_unsynced(kind, n):
    return 0


def names_without_data(kind, n):
    return n - 1 if kind == "name" else 0


def names_and_sizes_without_data(kind, n):
    return n - 1


def data_without_names(kind, n):
    return 0 if kind == "name" else 1


def by_chance(random):
    """Each thing by itself, with odds that differ from image to image."""
    odds = random.random()

    def choose(kind, n):
        return 0 if random.random() < odds else random.randrange(n)
    return choose


ADVERSARIES = (nothing_unsynced, names_without_data, names_and_sizes_without_data, data_without_names)


def without(calls, *kinds):
    """The trace as if the program had not made some syncs: "file" or "folder"."""
    folders = {os.path.normpath(call.path(1, 0)) for call in calls
               if call.name == "openat" and call.ok and "O_DIRECTORY" in call.args[2]}

    def is_dropped(call):
        if call.name not in ("fsync", "fdatasync"):
            return False
        path = os.path.normpath(call.fd()[1].removesuffix(" (deleted)"))
        return ("folder" if path in folders else "file") in kinds
    return [call for call in calls if not is_dropped(call)]
