# SPDX-License-Identifier: Apache-2.0
"""Where the servers of all tests keep what they are given, as the environment says: with MINATO_TESTS_STORE=s3 in a bucket
of a Ceph gateway, each server below a prefix of its own, with Redis; with MINATO_TESTS_REDIRECT=1 readers are sent there.
"""
import contextlib
import os

import ceph
import minato
import redis_server


class BucketAndRedis:
    def __init__(self, store, redis, is_sent_away):
        self.store, self.redis, self.is_sent_away = store, redis, is_sent_away

    def apply(self, config, data):
        """Clients that are sent away go to another host than the registry's: else they take their passwords along."""
        config = self.redis.apply(self.store.apply(config, data))
        if self.is_sent_away:
            section = {**config["storage"]["s3"], "external_endpoint": f"http://localhost:{self.store.port}"}
            config = {**config, "redirect": {"enabled": True}, "storage": {**config["storage"], "s3": section}}
        return config


@contextlib.contextmanager
def from_environment():
    if os.environ.get("MINATO_TESTS_STORE") != "s3":
        yield
        return
    with ceph.Ceph() as store, redis_server.RedisServer() as redis:
        minato.STORE = BucketAndRedis(store, redis, bool(os.environ.get("MINATO_TESTS_REDIRECT")))
        yield
    minato.STORE = None
