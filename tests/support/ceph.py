# SPDX-License-Identifier: Apache-2.0
"""A Ceph RADOS gateway with its monitor and one OSD in memory, from Debian's packages: an S3 store for tests.

    with Ceph() as store:
        store.endpoint, store.bucket, store.access_key, store.secret_key
"""
import collections
import hashlib
import re
import signal
import subprocess
import tempfile
import urllib.parse
import uuid
from pathlib import Path

import minato

SECRET = "0123456789abcdef0123456789abcdef"
CONFIGURATION = """[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{mon_port}
public addr = 127.0.0.1
ms bind ipv6 = false
ms bind msgr2 = false
auth cluster required = none
auth service required = none
auth client required = none
client mount timeout = 20
osd client watch timeout = 120
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pg autoscale mode = off
mon allow pool size one = true
osd crush chooseleaf type = 0
mon data avail warn = 1
mon data avail crit = 0
paxos propose interval = 0.05
paxos min wait = 0.01
run dir = {home}
log file = {home}/$name.log
admin socket = {home}/$name.asok
pid file = {home}/$name.pid
mon data = {home}/mon
osd data = {home}/osd
osd objectstore = memstore
memstore device bytes = 4G
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw thread pool size = 64
rgw gc obj min wait = 5
rgw gc processor period = 5
rgw gc processor max time = 5
"""

# A line of the gateway's access log; `bytes` are those of the object's content or of the answer.
Request = collections.namedtuple("Request", "method target status bytes agent")
REQUEST = re.compile(r'beast: [^"]*"([A-Z]+) (\S+) HTTP/1\.[01]" (\d+) (\d+) \S+ (?:"([^"]*)"|-)')


class Ceph:
    """Three processes of the test's own; what they hold is gone with them."""

    bucket = "minato"
    access_key = "minatokey"
    secret_key = "minatosecret"

    def __init__(self, port=None, folder=None):
        self.home = None if folder else tempfile.TemporaryDirectory(prefix="minato-ceph-")
        self.folder = Path(folder or self.home.name)
        self.processes = {}
        self.port = port or minato.free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        for process in reversed(self.processes.values()):
            process.kill()
            process.wait()
        if self.home:
            self.home.cleanup()

    def _run(self, *command, check=True):
        return subprocess.run(list(map(str, command)), env=self.environment, check=check, capture_output=True, timeout=60)

    def _spawn(self, name, *command):
        self.processes[name] = subprocess.Popen(list(map(str, command)), env=self.environment, stdin=subprocess.DEVNULL,
                                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0)

    def _start(self):
        home, fsid, mon_port = self.folder, uuid.uuid4(), minato.free_port()
        (home / "mon").mkdir(parents=True)
        (home / "osd").mkdir()
        configuration = home / "ceph.conf"
        configuration.write_text(CONFIGURATION.format(home=home, fsid=fsid, mon_port=mon_port, port=self.port))
        self.environment = minato.clean_environment(CEPH_CONF=str(configuration))
        self._run("monmaptool", "--create", "--clobber", "--addv", "a", f"[v1:127.0.0.1:{mon_port}]", "--fsid", fsid,
                  home / "monmap")
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", home / "monmap")
        self._spawn("mon", "ceph-mon", "-f", "-i", "a")
        self._start_osd()
        self.start_gateway()
        self._run("radosgw-admin", "user", "create", "--uid=minato", "--display-name=minato",
                  f"--access-key={self.access_key}", f"--secret-key={self.secret_key}")
        minato.wait_until(self._make_bucket, 60, "the gateway")

    def _start_osd(self):
        osd = uuid.uuid4()
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._run("ceph", "osd", "new", osd, "0")
        for _ in range(5):  # now and then it says "wrong fsid" and ends at once
            self._spawn("osd", "ceph-osd", "-f", "-i", "0")
            try:
                self.processes["osd"].wait(0.5)
            except subprocess.TimeoutExpired:
                return

    def request(self, method, path="", data=b""):
        """(status, body) of a request to the bucket, beside any server of ours. `path` with its query as it is sent."""
        done = self._run("curl", "-s", "-w", "%{http_code}", "-X", method, "--aws-sigv4", "aws:amz:us-east-1:s3", "-u",
                         f"{self.access_key}:{self.secret_key}", "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD",
                         "--data-binary", data.decode(), f"{self.endpoint}/{self.bucket}{path}", check=False)
        return int(done.stdout[-3:] or 0), done.stdout[:-3].decode()

    def keys(self, prefix):
        """What the bucket has there, at most 1,000."""
        status, listing = self.request("GET", f"?list-type=2&prefix={urllib.parse.quote(prefix, safe='')}")
        assert status == 200, listing
        return re.findall("<Key>([^<]+)</Key>", listing)

    # ---- faults ----

    def start_gateway(self):
        self._spawn("rgw", "radosgw", "-f", "-n", "client.rgw")

    def kill_gateway(self):
        """For half a minute after this radosgw-admin waits for the dead one to be told, too."""
        self.processes["rgw"].kill()
        self.processes["rgw"].wait()

    def pause_osd(self):
        """The gateway stands, and its requests with it."""
        self.processes["osd"].send_signal(signal.SIGSTOP)

    def resume_osd(self):
        self.processes["osd"].send_signal(signal.SIGCONT)

    def suspend_user(self):
        self._run("radosgw-admin", "user", "suspend", "--uid=minato")

    def enable_user(self):
        self._run("radosgw-admin", "user", "enable", "--uid=minato")

    def _make_bucket(self):
        return self.request("PUT")[0] == 200

    def apply(self, config, data):
        """A server's configuration, with what it would keep in the folder `data` under a prefix of its own here. Bytes go
        through the server, as most tests read them from it."""
        prefix = hashlib.sha256(str(data).encode()).hexdigest()[:16]
        section = {"s3": {**self.configuration()["s3"], "prefix": prefix}}
        return {**config, "http": {"secret": SECRET, **config.get("http", {})},
                "storage": {**config.get("storage", {}), **section},
                "redirect": {"enabled": False, **config.get("redirect", {})}}

    def requests(self, after=0):
        """What the gateway answered, all of it but the first `after`. A line is there a moment after its answer."""
        log = (self.folder / "client.rgw.log").read_text(errors="replace")
        return [Request(method, target, int(status), int(count), agent) for method, target, status, count, agent
                in REQUEST.findall(log)][after:]

    def configuration(self):
        """The part of minato's configuration that names it."""
        return {"s3": {"endpoint": self.endpoint, "bucket": self.bucket, "access_key": self.access_key,
                       "secret_key": self.secret_key}}
