# SPDX-License-Identifier: Apache-2.0
"""What deploy/local/up.sh runs when all is installed and built: the tests' topology, until a signal comes."""
import argparse
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "support"))

from topology import Topology  # noqa: E402

HINTS = """
  docker pull alpine && docker tag alpine {registry}/demo/alpine && docker push {registry}/demo/alpine
  docker pull {registry}/demo/alpine
  skopeo copy --dest-tls-verify=false docker://docker.io/library/alpine docker://{registry}/demo/alpine
  skopeo copy --src-tls-verify=false docker://{registry}/demo/alpine oci:alpine
  curl http://{registry}/v2/demo/alpine/tags/list

Blobs are read from the store itself, by URLs that are signed. Kill a replica and nobody notices.
Configurations and logs are in {folder}. Ctrl-C ends it all.
"""


def say(text):
    print(text, flush=True)


def describe(cluster):
    say(f"\n{len(cluster.replicas)} replicas behind http://localhost:{cluster.balancer_port}\n")
    for name, (pid, port) in cluster.processes().items():
        say(f"  {name:<10} 127.0.0.1:{port:<6} pid {pid}")
    say(HINTS.format(registry=f"localhost:{cluster.balancer_port}", folder=cluster.folder))


def wait(cluster):
    """Until a signal; who is gone meanwhile is told once."""
    gone = set()
    while True:
        time.sleep(0.5)
        for number, replica in enumerate(cluster.replicas, 1):
            if not replica.is_running() and number not in gone:
                gone.add(number)
                say(f"replica {number} ended ({replica.process.returncode})")


def interrupt(*_):
    """The first signal ends it; none may cut the ending short."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    say("Starting Ceph, Redis, three replicas and nginx")
    cluster = Topology(port=arguments.port, keep=arguments.keep)
    try:
        with cluster:
            describe(cluster)
            try:
                wait(cluster)
            except KeyboardInterrupt:
                say("\nStopping")
    except KeyboardInterrupt:
        pass  # while it was starting
    except (AssertionError, OSError) as problem:
        print(f"up.sh: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
