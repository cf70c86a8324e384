# SPDX-License-Identifier: Apache-2.0
"""A server whose clock can be put wrong while it runs, by libfaketime.

    with Skewed(config=...) as server:
        server.put_ahead(600)
"""
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

from minato import ROOT, Minato, wait_until


class Skewed(Minato):
    """The release build: the library does not go with sanitizers. Only the wall clock is wrong, as it would be."""

    def __init__(self, **kwargs):
        super().__init__(program=ROOT / "build" / "release" / "minato", **kwargs)
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        self.clock = self.folder / "clock"
        self.env = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self.clock), "FAKETIME_NO_CACHE": "1",
                    "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        self.clock.write_text("+0s\n")

    def put_ahead(self, seconds):
        """Returns when it believes so."""
        self.clock.write_text(f"{seconds:+d}s\n")
        wait_until(lambda: abs(self._ahead() - seconds) < 5, 20, "another time")

    def _ahead(self):
        client = self.client()
        try:
            return parsedate_to_datetime(client.get("/v2/").header("date")).timestamp() - time.time()
        finally:
            client.close()
