# SPDX-License-Identifier: Apache-2.0
"""The S3 driver against a store that is as strict as Amazon's."""
import re
import subprocess

import pytest

import minato
from amazon_store import AmazonStore
from fault_store import FaultStore, answer
from minato import Minato, digest_of, with_query
from s3_calls import S3Calls

SECRET = "0123456789abcdef0123456789abcdef"
PART = 5 << 20


@pytest.fixture
def amazon():
    with AmazonStore() as store:
        yield store


def test_the_driver_keeps_the_contract(amazon):
    program = minato.binary().parent / "tests" / "registry_test_storage_s3"
    environment = minato.clean_environment(
        MINATO_TESTS_S3_ENDPOINT=amazon.endpoint, MINATO_TESTS_S3_BUCKET=amazon.bucket,
        MINATO_TESTS_S3_ACCESS_KEY=amazon.access_key, MINATO_TESTS_S3_SECRET_KEY=amazon.secret_key)
    done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=300)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-4000:]
    assert int(re.search(r"\[  PASSED  \] (\d+) test", output).group(1)) >= 47


def requests(amazon, method, pattern):
    return [fields for name, path, fields in amazon.requests if name == method and re.search(pattern, path)]


def test_what_has_no_digest_has_a_checksum(amazon):
    with S3Calls(amazon) as calls:
        amazon.requests.clear()
        for operation in ("begin", "part", "complete", "put-tail", "create-blob"):
            assert calls.one(operation, f"sums/{operation in ('put-tail', 'create-blob') and operation}").result == "OK"
    assert [fields["x-amz-checksum-algorithm"] for fields in requests(amazon, "POST", "uploads=")] == ["CRC32C"]
    for pattern in ("partNumber", "put-tail"):
        assert "x-amz-checksum-crc32c" in requests(amazon, "PUT", pattern)[0]
    assert "x-amz-checksum-crc32c" not in requests(amazon, "PUT", "create-blob")[0]


@pytest.mark.parametrize("operation, code", [("part", "BadDigest"), ("put-tail", "BadDigest"),
                                             ("put", "XAmzContentSHA256Mismatch")])
def test_bytes_that_were_damaged_on_their_way_are_sent_again(amazon, operation, code):
    with FaultStore(amazon) as faulty, S3Calls(faulty) as calls:
        assert calls.one("begin", "sums/damaged").result == "OK"
        rule = faulty.fail(answer(400, code), method="PUT")
        assert calls.one(operation, "sums/damaged", "bytes").result == "OK"
        assert rule.hits == 1


def test_an_upload_goes_on_as_it_began_where_the_store_learns_of_checksums_meanwhile(amazon):
    """Replicas that found different stores: the one that knows checksums must not send them to an upload without."""
    config = {"http": {"secret": SECRET}, "uploads": {"part_size": f"{PART}"}, "storage": amazon.configuration()}
    data = bytes(range(256)) * (3 * PART // 256 + 1)
    amazon.knows_checksums = False
    with Minato(config=config) as before:
        amazon.knows_checksums = True
        with Minato(config=config) as after:
            clients = [before.client(), after.client()]
            location = clients[0].begin_upload("sums/moved")
            for client, chunk in zip(clients, (data[:2 * PART], data[2 * PART:])):
                reply = client.request("PATCH", location, body=chunk)
                assert reply.status == 202, reply
                location = reply.header("location")
            reply = clients[1].request("PUT", with_query(location, digest=digest_of(data)), headers={"Content-Length": "0"})
            assert reply.status == 201, reply
            for client in clients:
                client.close()
    parts = requests(amazon, "PUT", "partNumber")
    assert len(parts) >= 3 and not [fields for fields in parts if "x-amz-checksum-crc32c" in fields]
