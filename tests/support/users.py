# SPDX-License-Identifier: Apache-2.0
"""A server with a user, for what anonymous clients may never do."""
import subprocess

import minato

USER, PASSWORD = "alice", "wonder"


def write_htpasswd(path, users=None, cost=5):
    lines = [subprocess.run(["htpasswd", "-nbB", "-C", str(cost), name, password], check=True, capture_output=True,
                            text=True, env=minato.clean_environment()).stdout.strip()
             for name, password in (users or {USER: PASSWORD}).items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def server_with_user(tmp_path, anonymous="none", **config):
    """A Minato that is not started yet."""
    users = write_htpasswd(tmp_path / "users")
    config["auth"] = {"anonymous": anonymous, "htpasswd": {"file": users}}
    return minato.Minato(config=config)


def login(server):
    return server.client(user=USER, password=PASSWORD)
