# SPDX-License-Identifier: Apache-2.0
"""A blob in several requests: order, resuming, status, cancelling, finishing once and again."""
import os
import threading
import time

import pytest

from minato import digest_of, wait_until, with_query

DATA = os.urandom(900_000)
DIGEST = digest_of(DATA)


def patch(client, location, data, first=None, **headers):
    if first is not None:
        headers["Content-Range"] = f"{first}-{first + len(data) - 1}"
    return client.request("PATCH", location, body=data, headers=headers)


def finish(client, location, digest):
    return client.request("PUT", with_query(location, digest=digest), headers={"Content-Length": "0"})


def test_new_session_names_itself_and_is_empty(client, repo):
    reply = client.request("POST", f"/v2/{repo}/blobs/uploads/", headers={"Content-Length": "0"})
    assert reply.status == 202
    assert reply.header("docker-upload-uuid")
    assert reply.header("docker-upload-uuid") in reply.header("location")
    assert reply.header("range") == "0-0"
    assert reply.header("content-length") == "0"


@pytest.mark.threads
def test_chunks_in_order_make_the_blob(client, repo):
    location = client.begin_upload(repo)
    for first in range(0, len(DATA), 300_000):
        reply = patch(client, location, DATA[first:first + 300_000], first)
        assert reply.status == 202, reply
        assert reply.header("range") == f"0-{first + 299_999}"
        location = reply.header("location")
    assert finish(client, location, DIGEST).status == 201
    assert client.get(f"/v2/{repo}/blobs/{DIGEST}").body == DATA


def test_content_range_with_unit_and_size_is_understood(client, repo):
    location = client.begin_upload(repo)
    reply = client.request("PATCH", location, body=DATA, headers={"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"})
    assert reply.status == 202
    assert finish(client, reply.header("location"), DIGEST).status == 201


def test_last_chunk_may_come_with_the_put(client, repo):
    location = client.begin_upload(repo)
    location = patch(client, location, DATA[:500_000], 0).header("location")
    reply = client.request("PUT", with_query(location, digest=DIGEST), body=DATA[500_000:],
                           headers={"Content-Range": f"500000-{len(DATA) - 1}"})
    assert reply.status == 201, reply
    assert client.get(f"/v2/{repo}/blobs/{DIGEST}").body == DATA


@pytest.mark.parametrize("first", [1, 299_999, 300_001, 600_000, 0])
def test_chunk_out_of_order_answers_416_with_the_true_range(client, first):
    location = client.begin_upload("t/order")
    location = patch(client, location, DATA[:300_000], 0).header("location")
    reply = patch(client, location, DATA[300_000:300_100], first)
    assert (reply.status, reply.error_code()) == (416, "RANGE_INVALID")
    assert reply.header("range") == "0-299999"
    # The session is as it was.
    reply = patch(client, reply.header("location"), DATA[300_000:], 300_000)
    assert reply.status == 202
    assert finish(client, reply.header("location"), DIGEST).status == 201


@pytest.mark.parametrize("value", ["abc", "5-1", "-5", "0-", "bytes */9", "0-9-9", "99999999999999999999-100000000000000000000"])
def test_content_range_that_is_none_answers_400_or_416(client, value):
    location = client.begin_upload("t/badrange")
    reply = client.request("PATCH", location, body=b"0123456789", headers={"Content-Range": value})
    assert reply.status in (400, 416)
    assert reply.error_code() in ("BLOB_UPLOAD_INVALID", "RANGE_INVALID")
    assert client.get(location).status == 204


def test_content_range_that_is_not_as_long_as_the_body_answers_400(client, repo):
    location = client.begin_upload(repo)
    reply = client.request("PATCH", location, body=b"0123456789", headers={"Content-Range": "0-4"})
    assert (reply.status, reply.error_code()) == (400, "SIZE_INVALID")
    assert client.get(location).header("range") == "0-0"


def test_status_says_how_much_has_arrived(client, repo):
    location = client.begin_upload(repo)
    reply = client.get(location)
    assert (reply.status, reply.header("range")) == (204, "0-0")
    location = patch(client, location, DATA[:12_345]).header("location")
    reply = client.get(location)
    assert (reply.status, reply.header("range")) == (204, "0-12344")
    assert reply.header("location")
    assert reply.header("docker-upload-uuid")


def test_any_location_of_a_session_serves_for_all_of_it(client, repo):
    """Clients may keep the first Location: the offset is the session's, not the Location's."""
    location = client.begin_upload(repo)
    assert patch(client, location, DATA[:400_000]).status == 202
    assert patch(client, location, DATA[400_000:]).status == 202
    assert finish(client, location, DIGEST).status == 201


def test_cancelled_session_is_gone(client, repo):
    location = client.begin_upload(repo)
    location = patch(client, location, DATA[:1000]).header("location")
    assert client.request("DELETE", location).status == 204
    for reply in (client.get(location), patch(client, location, b"x"), finish(client, location, DIGEST),
                  client.request("DELETE", location)):
        assert (reply.status, reply.error_code()) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_cancelled_session_leaves_no_bytes_behind(start):
    server = start()
    client = server.client()
    location = client.begin_upload("t/cancel")
    location = patch(client, location, DATA).header("location")
    assert client.request("DELETE", location).status == 204

    def bytes_left():
        return sum(path.stat().st_size for path in server.data.rglob("*") if path.is_file())

    wait_until(lambda: bytes_left() < 100_000, what="removal of the bytes")


def test_session_that_never_was_answers_404(client, repo):
    for path in (f"/v2/{repo}/blobs/uploads/00000000-0000-4000-8000-000000000000",
                 f"/v2/{repo}/blobs/uploads/00000000-0000-4000-8000-000000000000?_state=abc",
                 f"/v2/{repo}/blobs/uploads/nonsense"):
        for method in ("GET", "PATCH", "PUT", "DELETE"):
            reply = client.request(method, path, headers={"Content-Length": "0"})
            assert (reply.status, reply.error_code()) in ((404, "BLOB_UPLOAD_UNKNOWN"), (400, "DIGEST_INVALID")), reply


def test_session_of_one_repository_is_unknown_in_another(client, repo):
    location = client.begin_upload(repo)
    elsewhere = location.replace(repo, repo + "-b")
    assert elsewhere != location
    reply = patch(client, elsewhere, b"x")
    assert (reply.status, reply.error_code()) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_forged_state_answers_404(client, repo):
    location = client.begin_upload(repo)
    assert "_state=" in location
    at = location.index("_state=") + 20
    forged = location[:at] + ("A" if location[at] != "A" else "B") + location[at + 1:]
    reply = patch(client, forged, b"x")
    assert (reply.status, reply.error_code()) == (404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("size", [1000, 900_000])
def test_final_put_repeated_after_a_lost_answer_is_201_again(client, size):
    location = client.begin_upload("t/again")
    location = patch(client, location, DATA[:size]).header("location")
    for _ in range(3):
        reply = finish(client, location, digest_of(DATA[:size]))
        assert reply.status == 201
        assert reply.header("docker-content-digest") == digest_of(DATA[:size])


def test_finished_session_takes_no_more(client, repo):
    location = client.begin_upload(repo)
    location = patch(client, location, DATA).header("location")
    assert finish(client, location, DIGEST).status == 201
    reply = patch(client, location, b"more")
    assert reply.status in (404, 409, 416)
    assert client.get(f"/v2/{repo}/blobs/{DIGEST}").body == DATA


def test_put_without_digest_answers_400(client, repo):
    location = client.begin_upload(repo)
    reply = client.request("PUT", location, headers={"Content-Length": "0"})
    assert (reply.status, reply.error_code()) == (400, "DIGEST_INVALID")


@pytest.mark.threads
def test_upload_cut_off_by_a_disconnect_goes_on_where_it_stopped(server, client, repo):
    location = client.begin_upload(repo)
    wire = server.wire()
    wire.head("PATCH", location, f"Content-Length: {len(DATA)}")
    wire.send(DATA[:400_000])
    time.sleep(0.3)
    wire.reset()

    def resumable():
        reply = client.get(location)
        assert reply.status == 204
        return int(reply.header("range").split("-")[1]) > 0 and reply

    # What the server had read by then is kept; how much that is, it says.
    reply = wait_until(resumable, what="the session's offset after the disconnect")
    have = int(reply.header("range").split("-")[1]) + 1
    assert 0 < have <= 400_000

    def resumed():
        now = client.get(location)
        at = int(now.header("range").split("-")[1]) + 1
        reply = patch(client, now.header("location"), DATA[at:], at)
        return reply if reply.status == 202 else None  # 409 as long as the dead writer is not cleared away

    reply = wait_until(resumed, what="the resumed chunk")
    assert finish(client, reply.header("location"), DIGEST).status == 201
    assert client.get(f"/v2/{repo}/blobs/{DIGEST}").body == DATA


def test_second_writer_is_refused_while_the_first_writes(server, client, repo):
    location = client.begin_upload(repo)
    with server.wire() as first:
        first.head("PATCH", location, f"Content-Length: {len(DATA)}").send(DATA[:200_000])
        time.sleep(0.3)
        reply = patch(client, location, b"intruder")
        assert (reply.status, reply.error_code()) in ((409, "BLOB_UPLOAD_INVALID"), (416, "RANGE_INVALID"))
        assert reply.header("range")
        first.send(DATA[200_000:])
        reply = first.reply()
        assert reply.status == 202
    assert finish(client, reply.header("location"), DIGEST).status == 201
    assert client.get(f"/v2/{repo}/blobs/{DIGEST}").body == DATA


@pytest.mark.threads
def test_two_writers_at_once_never_mix_their_bytes(server, repo):
    """One of both wins or one goes behind the other; the session's bytes are never a mixture."""
    for _ in range(10):
        location = server.client().begin_upload(repo)
        parts = [os.urandom(200_000), os.urandom(200_000)]
        outcomes = [None, None]
        gate = threading.Barrier(2)

        def write(i):
            client = server.client()
            gate.wait()
            outcomes[i] = client.request("PATCH", location, body=parts[i])

        threads = [threading.Thread(target=write, args=(i,)) for i in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        accepted = [i for i in (0, 1) if outcomes[i].status == 202]
        assert accepted, outcomes
        assert all(outcomes[i].status in (202, 409, 416) for i in (0, 1)), outcomes
        size = int(server.client().get(location).header("range").split("-")[1]) + 1
        assert size == 200_000 * len(accepted)
        orders = [accepted, accepted[::-1]]
        replies = []
        for order in orders:
            reply = finish(server.client(), location, digest_of(b"".join(parts[i] for i in order)))
            replies.append(reply.status)
            if reply.status == 201:
                break
        # A wrong digest ends the session, so only the first guess can be checked when both were accepted.
        assert replies[0] == 201 or len(accepted) == 2, replies


def test_many_sessions_at_once_do_not_disturb_each_other(server, repo):
    errors = []

    def push(i):
        try:
            data = os.urandom(150_000 + i)
            client = server.client()
            digest = client.push_blob(repo, data)
            assert client.get(f"/v2/{repo}/blobs/{digest}").body == data
        except Exception as error:  # noqa: BLE001 - reported below
            errors.append(error)

    threads = [threading.Thread(target=push, args=(i,)) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors


def test_blob_over_the_limit_answers_413(start):
    server = start(config={"uploads": {"max_blob": 100_000}})
    client = server.client()
    location = client.begin_upload("t/limit")
    reply = patch(client, location, bytes(100_001))
    assert (reply.status, reply.error_code()) == (413, "SIZE_INVALID")
    digest = client.push_blob("t/limit", bytes(100_000))
    assert client.head(f"/v2/t/limit/blobs/{digest}").status == 200
