# SPDX-License-Identifier: Apache-2.0
"""The S3 driver against a real store: the contract of all drivers, and what an operator reads when it cannot start."""
import re
import subprocess

import pytest

import minato

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize("driver", ["s3", "s3v2"])
def test_the_driver_keeps_the_contract(store, driver):
    program = minato.binary().parent / "tests" / f"registry_test_storage_{driver}"
    environment = minato.clean_environment(
        MINATO_TESTS_S3_ENDPOINT=store.endpoint, MINATO_TESTS_S3_BUCKET=store.bucket,
        MINATO_TESTS_S3_ACCESS_KEY=store.access_key, MINATO_TESTS_S3_SECRET_KEY=store.secret_key,
        MINATO_TESTS_S3_NEEDS_ALL_PARTS="yes")
    done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=600)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    assert int(re.search(r"\[  PASSED  \] (\d+) test", output).group(1)) >= 47


@pytest.mark.parametrize("change, words", [
    ({"bucket": "no-such-bucket"}, ["there is no bucket", "no-such-bucket"]),
    ({"secret_key": "wrong"}, ["403", "secret_key"]),
    ({"access_key": "nobody"}, ["403", "access_key"]),
    ({"endpoint": "http://127.0.0.1:1"}, ["no answer", "127.0.0.1:1"]),
])
def test_a_store_that_cannot_be_used_is_explained(store, tmp_path, change, words):
    section = {**store.configuration()["s3"], **change}
    lines = [f"http: {{listen: '127.0.0.1:0', secret: {SECRET}}}", "index: {redis: {url: 'redis://127.0.0.1:1'}}",
             "storage:", "  s3:"] + [f"    {name}: {value}" for name, value in section.items()]
    path = tmp_path / "minato.yaml"
    path.write_text("\n".join(lines) + "\n")
    done = subprocess.run([minato.binary(), "serve", "--config", path], env=minato.clean_environment(),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert all(word in done.stderr for word in words), done.stderr
    assert store.secret_key not in done.stderr
