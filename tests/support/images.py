# SPDX-License-Identifier: Apache-2.0
"""Images made from nothing (no registry but ours is reached), and the real clients that carry them about."""
import hashlib
import io
import json
import os
import random
import re
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time
from pathlib import Path

import go_tools
import minato


def content(seed, size):
    """Bytes that do not compress, the same for the same seed."""
    return random.Random(seed).randbytes(size)


def tar_of(files):
    """{name: bytes} as an uncompressed tar, the same bytes every time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def oci_layout(folder, platforms, name=None):
    """Writes an OCI image layout with an index of {architecture: [layer tar]}; returns the digest of its top manifest:
    the one image, or the index if there are several. `name`: what containerd is to call it when it imports it."""
    folder = Path(folder)
    (folder / "blobs" / "sha256").mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def add(data, media_type, **more):
        name = hashlib.sha256(data).hexdigest()
        (folder / "blobs" / "sha256" / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data), **more}

    images = []
    for architecture, layers in platforms.items():
        config = {"architecture": architecture, "os": "linux", "config": {},
                  "rootfs": {"type": "layers", "diff_ids": [minato.digest_of(layer) for layer in layers]},
                  "history": [{"created_by": "test"} for _ in layers]}
        manifest = {"schemaVersion": 2, "mediaType": minato.MANIFEST,
                    "config": add(json.dumps(config).encode(), minato.CONFIG),
                    "layers": [add(layer, minato.LAYER) for layer in layers]}
        images.append(add(json.dumps(manifest).encode(), minato.MANIFEST,
                          platform={"architecture": architecture, "os": "linux"}))
    top = images[0]
    if len(images) > 1:
        index = {"schemaVersion": 2, "mediaType": minato.INDEX, "manifests": images}
        top = add(json.dumps(index).encode(), minato.INDEX)
    annotations = {"org.opencontainers.image.ref.name": "latest"}
    if name:
        annotations["io.containerd.image.name"] = name
    named = dict(top, annotations=annotations)
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "mediaType": minato.INDEX, "manifests": [named]}))
    return top["digest"]


def in_parallel(work, count):
    """work(i) in `count` threads; every failure is told."""
    errors = []

    def run(i):
        try:
            work(i)
        except BaseException as error:  # noqa: BLE001 - told below
            errors.append(f"{i}: {error}")

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, "\n".join(errors)


class Tool:
    """A command line client in a home of its own."""

    def __init__(self, program, path=None):
        if path is None and shutil.which(program, path=minato.clean_environment()["PATH"]) is None:
            raise AssertionError(f"{program} is not installed: tests/run.sh installs it")
        self.program = path or (f"/usr/bin/{program}" if Path(f"/usr/bin/{program}").exists() else program)
        self.home = Path(tempfile.mkdtemp(prefix=f"minato-{program}-"))
        self.env = {"HOME": str(self.home)}
        self.common = []

    def run(self, *arguments, timeout=300, input=None, check=True, cwd=None):
        command = [self.program, *self.common, *map(str, arguments)]
        done = subprocess.run(command, env=minato.clean_environment(**self.env), capture_output=True,
                              timeout=timeout, input=input, stdin=None if input is not None else subprocess.DEVNULL,
                              cwd=cwd)
        output = (done.stdout + done.stderr).decode(errors="replace")
        if check:
            assert done.returncode == 0, f"{' '.join(command[:12])}\nexit code {done.returncode}\n{output[-4000:]}"
        self.last_code = done.returncode
        return done.stdout.decode(errors="replace") if check else output

    def done(self):
        shutil.rmtree(self.home, ignore_errors=True)


class Daemon:
    """A daemon started by a test: its log, and its end by pid."""

    def __init__(self, command, log, ready, env=None, wait_s=60):
        self.log = Path(log)
        with open(self.log, "wb") as out:
            self.process = subprocess.Popen([str(one) for one in command], stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out, env=minato.clean_environment(**(env or {})))
        deadline = time.monotonic() + wait_s
        while not ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise AssertionError(f"{command[0]} is not ready\n{self.log.read_text(errors='replace')[-4000:]}")
            time.sleep(0.1)

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


class GoTool(Tool):
    """A client that tests/support/go_tools.py builds."""

    def __init__(self, name):
        path = go_tools.path(name)
        if not path.exists():
            raise AssertionError(f"{name} is not built: tests/support/go_tools.py {name}; see build/test-results/go.log")
        super().__init__(name, str(path))


class Docker(Tool):
    """dockerd and its client, with nothing shared with a docker that may run on this machine."""

    def __init__(self):
        super().__init__("docker")
        self.root = self.home / "d"
        self.root.mkdir()
        socket = f"unix://{self.root}/docker.sock"
        self.env["DOCKER_CONFIG"] = str(self.home / "config")
        self.common = ["--host", socket]
        dockerd = shutil.which("dockerd", path=minato.clean_environment()["PATH"])
        try:
            self.daemon = Daemon(
                [dockerd, "--iptables=false", "--ip6tables=false", "--ip-masq=false", "--bridge=none", "--storage-driver=vfs",
                 "--data-root", self.root / "data", "--exec-root", self.root / "exec", "--pidfile", self.root / "pid",
                 "--max-concurrent-uploads", "5", "-H", socket],
                self.root / "dockerd.log", ready=lambda: self._is_ready(), env=self.env)
        except BaseException:
            self.done()
            raise

    def _is_ready(self):
        self.run("version", check=False)
        return self.last_code == 0

    def make(self, name, *tars):
        """An image of these layers."""
        folder = Path(tempfile.mkdtemp(dir=self.home))
        lines = ["FROM scratch"]
        for i, data in enumerate(tars):
            (folder / f"{i}.tar").write_bytes(data)
            lines.append(f"ADD {i}.tar /")
        (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
        self.run("build", "-q", "-t", name, folder)
        shutil.rmtree(folder)

    def done(self):
        if hasattr(self, "daemon"):
            self.daemon.stop()
        # What a killed daemon may leave mounted below its folder would keep it from being removed.
        for line in Path("/proc/self/mounts").read_text().splitlines():
            if line.split()[1].startswith(str(self.home)):
                subprocess.run(["umount", "-l", line.split()[1]], check=False, capture_output=True)
        super().done()


class ContainersTool(Tool):
    """podman, buildah, skopeo: one storage below their home, no configuration of this machine."""

    def __init__(self, program, share=None):
        super().__init__(program)
        home = share.home if share else self.home
        if share:
            self.env = dict(share.env)
        else:
            (home / ".config" / "containers").mkdir(parents=True)
            (home / ".config" / "containers" / "policy.json").write_text('{"default":[{"type":"insecureAcceptAnything"}]}')
            (home / "storage.conf").write_text(
                f'[storage]\ndriver = "vfs"\ngraphroot = "{home}/storage"\nrunroot = "{home}/run"\n')
            (home / "registries.conf").write_text("unqualified-search-registries = []\n")
            (home / "auth.json").write_text("{}")
            self.env.update(CONTAINERS_STORAGE_CONF=str(home / "storage.conf"), REGISTRY_AUTH_FILE=str(home / "auth.json"),
                            CONTAINERS_REGISTRIES_CONF=str(home / "registries.conf"), XDG_RUNTIME_DIR=str(home),
                            BUILDAH_ISOLATION="chroot", TMPDIR=str(home))
        if program == "podman":
            self.common = ["--cgroup-manager=cgroupfs", "--events-backend=none"]


class Containerd(Tool):
    def __init__(self):
        super().__init__("ctr")
        socket = self.home / "c.sock"
        (self.home / "config.toml").write_text(
            f'version = 2\nroot = "{self.home}/root"\nstate = "{self.home}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\naddress = "{socket}"\n[ttrpc]\naddress = "{self.home}/t.sock"\n')
        self.common = ["--address", str(socket)]
        containerd = shutil.which("containerd", path=minato.clean_environment()["PATH"])
        try:
            self.daemon = Daemon([containerd, "--config", self.home / "config.toml"], self.home / "containerd.log",
                                 ready=lambda: self._is_ready(), env=self.env)
        except BaseException:
            self.done()
            raise

    def run(self, *arguments, **options):
        """Once more when ctr was cut off while its daemon gave it content, as happens on a busy machine."""
        try:
            return super().run(*arguments, **options)
        except AssertionError as error:
            if "rpc error: code = Internal desc = unexpected EOF" not in str(error):
                raise
            return super().run(*arguments, **options)

    def _is_ready(self):
        self.run("version", check=False)
        return self.last_code == 0

    def done(self):
        if hasattr(self, "daemon"):
            self.daemon.stop()
        super().done()


def requests_logged(server, after=0):
    """The access log from a position on, as dicts; without what was no request, such as the TLS that podman tries first."""
    lines = server.log_text()[after:].splitlines()
    found = []
    for line in lines:
        if line.startswith("{") and '"http.request"' in line and '"refused"' not in line:
            found.append(json.loads(line))
    return found


def log_position(server):
    """Where the log ends once everything answered so far is in it: lines are written a moment after the reply."""
    marker = f"/v2/marker/m{time.monotonic_ns()}/tags/list"
    server.client().get(marker)
    server.wait_log(re.escape(marker))
    return len(server.log_text())


def bytes_uploaded(server, after):
    """Body bytes of blob uploads since a position in the log."""
    log_position(server)
    return sum(line["bytes_in"] for line in requests_logged(server, after) if re.search(r"/blobs/uploads", line["path"]))


def layout_blobs(folder):
    """The blobs of an OCI layout, each checked against its name."""
    found = {}
    for path in (Path(folder) / "blobs" / "sha256").iterdir():
        found[path.name] = path.stat().st_size
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
    return found


def htpasswd_file(path, **users):
    lines = [subprocess.run(["htpasswd", "-nbB", "-C", "5", name, password], check=True, capture_output=True,
                            text=True).stdout.strip() for name, password in users.items()]
    Path(path).write_text("\n".join(lines) + "\n")
    return path


LARGE = 1_000_000_000 if os.environ.get("MINATO_TESTS_ALL") else 100_000_000
