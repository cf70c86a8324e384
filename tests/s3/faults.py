# SPDX-License-Identifier: Apache-2.0
"""The S3 driver against a store that fails in every way: what its calls come to, and when."""
import json
import os
import time

import pytest

from fault_store import (FaultStore, answer, answer_after, drop_after, drop_before, stall, stall_after, trickle, trickle_body,
                         truncate)
from minato import INDEX, Minato, wait_until
from s3_calls import S3Calls
from users import login, server_with_user

MIB = 1 << 20
# Short times, so that a deadline is seen in a test's time.
ATTEMPT_MS, CALL_MS, LONG_CALL_MS = 400, 1000, 1500
SLACK_MS = 250


@pytest.fixture
def faulty(store):
    with FaultStore(store) as proxy:
        yield proxy


@pytest.fixture
def calls(faulty):
    with S3Calls(faulty, ATTEMPT_MS, CALL_MS, LONG_CALL_MS) as program:
        yield program


def prepare(calls, path):
    """An object, and a multipart with one part."""
    assert calls.one("put", path, "before").result == "OK"
    assert calls.one("begin", path).result == "OK"
    assert calls.one("part", path, "part").result == "OK"


# ---- time ----

def end_in_time(faulty, calls, operation, fault):
    """What the call comes to, which is never late."""
    prepare(calls, "faults/time")
    # A swap is told the etag by a stat before it.
    faulty.fail(fault, method="PUT" if operation == "swap" else "", times=None)
    outcome = calls.one(operation, "faults/time", "after")
    faulty.heal()
    is_long = operation in ("create-blob", "put-tail", "part", "complete")
    assert outcome.ms <= (LONG_CALL_MS if is_long else CALL_MS) + SLACK_MS, outcome
    return outcome.result


@pytest.mark.parametrize("operation", ["check", "stat", "get", "put", "create", "create-blob", "put-tail", "swap", "delete",
                                       "delete-many", "list", "open-read", "begin", "part", "complete", "abort"])
def test_a_call_ends_in_time_though_the_store_is_silent(faulty, calls, operation):
    assert end_in_time(faulty, calls, operation, stall()) == "UNAVAILABLE"


@pytest.mark.parametrize("fault", [stall_after(), trickle(0.02), answer(500), drop_before()], ids=lambda fault: fault.name)
@pytest.mark.parametrize("operation", ["put", "delete", "open-read", "complete"])
def test_a_call_ends_in_time_whatever_the_store_does(faulty, calls, operation, fault):
    result = end_in_time(faulty, calls, operation, fault)
    # What was completed by an answer that did not come is still seen by whoever can ask.
    assert result == "UNAVAILABLE", result


def test_a_delete_has_one_deadline_for_both_of_its_requests(faulty, calls):
    prepare(calls, "faults/delete")
    faulty.fail(stall(), method="HEAD", times=2)
    faulty.fail(stall(), method="DELETE", times=None)
    outcome = calls.one("delete", "faults/delete")
    assert outcome.result == "UNAVAILABLE" and outcome.ms <= CALL_MS + SLACK_MS, outcome
    assert faulty.count(method="DELETE") > 0


def test_a_creation_in_doubt_is_looked_at_within_its_deadline(faulty, calls):
    faulty.fail(drop_after(), method="PUT", path="doubt")
    faulty.fail(stall(0.7), method="PUT", path="doubt")
    faulty.fail(stall(), method="GET", path="doubt", times=None)
    outcome = calls.one("create", "faults/doubt", "x")
    assert outcome.result == "UNAVAILABLE" and outcome.ms <= CALL_MS + SLACK_MS, outcome


def test_a_body_may_take_longer_than_an_attempt(faulty, calls):
    assert calls.one("put", "faults/slow", "text", 200).result == "OK"
    faulty.fail(trickle_body(0.01), method="GET", path="slow")
    outcome = calls.one("open-read", "faults/slow")
    assert outcome.result == "OK" and outcome.ms > CALL_MS, outcome


def test_the_drivers_own_deadline_is_20_seconds(faulty):
    """Side by side, as each takes as long as it may."""
    commands = ["get", "put", "delete", "open-read"]
    programs = [S3Calls(faulty).__enter__() for _ in commands]
    try:
        faulty.fail(stall(), times=None)
        for program, command in zip(programs, commands):
            program.begin(command, "faults/own")
        outcomes = [program.end()[0] for program in programs]
        assert [outcome.result for outcome in outcomes] == ["UNAVAILABLE"] * 4
        assert all(10_000 <= outcome.ms <= 20_000 + SLACK_MS for outcome in outcomes), outcomes
    finally:
        for program in programs:
            program.__exit__(None, None, None)


# ---- the breaker ----

DEAD = {"silent": stall(), "gone": drop_before(), "500": answer(500, "InternalError"),
        "503 without a store": answer(503, words="Service Unavailable"), "504": answer(504), "408": answer(408)}


@pytest.mark.parametrize("fault", DEAD.values(), ids=DEAD)
def test_a_dead_store_fails_calls_in_milliseconds(faulty, calls, fault):
    faulty.fail(fault, times=None)
    calls.many(8, "get", "faults/dead")
    faulty.forget()
    begun = time.monotonic()
    while time.monotonic() < begun + 2.2:  # at most three tries
        outcomes = sorted(calls.many(20, "get", "faults/dead"), key=lambda outcome: outcome.ms)
        assert {outcome.result for outcome in outcomes} == {"UNAVAILABLE"}
        assert outcomes[18].ms < 50, outcomes
    assert 1 <= faulty.count() <= 3, faulty.records
    faulty.heal()
    wait_until(lambda: calls.one("stat", "faults/dead").result == "NOT_FOUND", 1.5)
    assert {outcome.result for outcome in calls.many(30, "stat", "faults/dead")} == {"NOT_FOUND"}


def test_the_operator_is_told_once_that_the_store_is_gone_and_back_or_refuses(faulty, tmp_path):
    with Minato(config=faulty.apply({}, tmp_path)) as server:
        client = server.client()

        def push():
            return client.request("POST", "/v2/faults/told/blobs/uploads/", headers={"Content-Length": "0"}).status

        faulty.fail(answer(403, "InvalidAccessKeyId"), method="PUT", times=None)
        assert [push() for _ in range(3)] == [503] * 3
        assert "InvalidAccessKeyId" in server.wait_log(r"storage\.refused.*").group(0)
        faulty.heal()
        faulty.fail(answer(500, "InternalError"), times=None)
        wait_until(lambda: push() == 503 and "storage.unreachable" in server.log_text(), 20)
        assert [push() for _ in range(20)] == [503] * 20
        faulty.heal()
        wait_until(lambda: push() == 202, 5)
        server.wait_log(r"storage\.reachable")
        client.close()
        said = server.log_text()
    assert [said.count(f'"storage.{event}"') for event in ("refused", "unreachable", "reachable")] == [1, 1, 1]


@pytest.mark.parametrize("operation, fault", [("get", answer(503, "SlowDown")), ("stat", answer(503, words="Slow Down")),
                                              ("stat", answer(429))], ids=["by its code", "by its words", "429"])
def test_a_store_that_wants_less_is_asked_later_and_not_taken_for_dead(faulty, calls, operation, fault):
    faulty.fail(fault, times=60)
    outcomes = [calls.many(20, operation, "faults/less") for _ in range(4)]
    assert {outcome.result for each in outcomes[-2:] for outcome in each} == {"NOT_FOUND"}
    assert not any(outcome.ms < 50 for outcome in outcomes[0])


@pytest.mark.parametrize("fault", [answer(501), answer(507), answer(403, "AccessDenied")], ids=["501", "507", "403"])
def test_an_answer_that_says_nothing_of_the_store_leaves_the_breaker_alone(faulty, calls, fault):
    faulty.fail(fault, method="GET", times=None)
    calls.many(20, "get", "faults/alone")
    assert calls.one("stat", "faults/alone").result == "NOT_FOUND"


def test_swaps_that_overtake_each_other_do_not_open_the_breaker(calls):
    """Ceph answers 500 to some of them."""
    for round_number in range(5):
        assert calls.one("put", "faults/swap", f"{round_number}").result == "OK"
        results = [outcome.result for outcome in calls.many(32, "swap", "faults/swap", "new")]
        assert set(results) <= {"OK", "CONFLICT", "UNAVAILABLE"} and results.count("OK") <= 1, results
        assert calls.one("stat", "faults/swap").result == "OK"


# ---- what answers mean ----

def test_the_store_itself_refuses_bytes_that_are_not_of_their_digest(calls):
    assert calls.one("put-wrong-digest", "faults/digest", "bytes").result == "INVALID"
    assert calls.one("stat", "faults/digest").result == "NOT_FOUND"


@pytest.mark.parametrize("code", ["XAmzContentSHA256Mismatch", "BadDigest", "InvalidDigest"])
def test_only_a_refused_digest_makes_bytes_invalid(faulty, calls, code):
    faulty.fail(answer(400, code), method="PUT")
    assert calls.one("create-blob", "faults/code", "bytes").result == "INVALID"
    faulty.fail(answer(400, code), method="PUT")
    # Nobody had given a digest: where it was our own sum, they were damaged on their way, and are sent again.
    assert calls.one("put", "faults/code", "bytes").result == ("OK" if code == "XAmzContentSHA256Mismatch" else "IO")


@pytest.mark.parametrize("code", ["", "InvalidArgument", "EntityTooLarge", "AuthorizationHeaderMalformed"])
def test_any_other_400_says_nothing_of_the_bytes(faulty, calls, code):
    faulty.fail(answer(400, code), method="PUT", times=2)
    assert calls.one("create-blob", "faults/code", "bytes").result == "IO"
    assert calls.one("put", "faults/code", "bytes").result == "IO"
    assert faulty.count("PUT", "code") == 2


def test_a_body_that_came_too_slowly_for_the_store_is_sent_again(faulty, calls):
    faulty.fail(answer(400, "RequestTimeout"), method="PUT")
    assert calls.one("put", "faults/timeout", "bytes").result == "OK"


@pytest.mark.parametrize("body, result", [("<DeleteResult><Error><Key>k</Key><Code>InternalError</Code></Error></DeleteResult>",
                                            "UNAVAILABLE"),
                                           ("<DeleteResult><Error><Code>AccessDenied</Code></Error></DeleteResult>", "IO"),
                                           ("<html>", "CORRUPT")])
def test_a_200_may_say_that_many_were_not_deleted(faulty, calls, body, result):
    faulty.fail(answer(200, body=body.encode()), method="POST")
    assert calls.one("delete-many", "faults/many", "x", 5).result == result


# ---- repetitions ----

LOST = {"lost before": drop_before(), "lost after": drop_after(), "cut": truncate(), "500": answer(500), "502": answer(502),
        "503 of another": answer(503, words="Service Unavailable")}


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
@pytest.mark.parametrize("operation, method", [("begin", "POST"), ("swap", "PUT")])
def test_what_may_not_happen_twice_is_sent_once(faulty, calls, operation, method, fault):
    """Not even by libcurl, on a connection that was kept."""
    assert calls.one("put", "faults/once", operation).result == "OK"
    faulty.forget()
    faulty.fail(fault, method=method)
    assert calls.one(operation, "faults/once", "new").result == "UNAVAILABLE"
    assert faulty.count(method) == 1


@pytest.mark.parametrize("status, result", [(500, "OK"), (502, "UNAVAILABLE"), (503, "UNAVAILABLE")])
def test_a_swap_that_was_made_but_answered_otherwise_is_never_refused(faulty, calls, status, result):
    assert calls.one("put", "faults/made", "swap").result == "OK"
    faulty.fail(answer_after(status), method="PUT")
    assert calls.one("swap", "faults/made", "new").result == result


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
@pytest.mark.parametrize("operation, method", [("put", "PUT"), ("create", "PUT"), ("part", "PUT"), ("delete", "DELETE"),
                                               ("delete-many", "POST"),
                                               ("get", "GET"), ("open-read", "GET"), ("list", "GET"), ("abort", "DELETE")])
def test_what_may_happen_twice_is_sent_again(faulty, calls, operation, method, fault):
    path = f"faults/again-{operation}"
    if operation != "create":
        prepare(calls, path)
    faulty.forget()
    rule = faulty.fail(fault, method=method)
    is_cut_off = operation == "open-read" and fault.name == "truncate"  # whoever reads has the first half already
    assert calls.one(operation, path, "new").result == ("UNAVAILABLE" if is_cut_off else "OK")
    assert rule.hits == 1 and faulty.count(method) >= (1 if is_cut_off else 2)
    calls.one("delete", path)


@pytest.mark.parametrize("operation", ["begin", "swap", "put"])
def test_what_the_store_refused_for_now_is_sent_again(faulty, operation):
    with S3Calls(faulty) as calls:
        assert calls.one("put", "faults/refused", operation).result == "OK"
        rule = faulty.fail(answer(503, "SlowDown"), method="POST" if operation == "begin" else "PUT", times=2)
        assert calls.one(operation, "faults/refused", "new").result == "OK"
    assert rule.hits == 2


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
def test_a_complete_is_repeated_only_when_it_is_known_not_to_have_happened(faulty, calls, fault):
    prepare(calls, "faults/complete")
    faulty.forget()
    faulty.fail(fault, method="POST", path="uploadId")
    assert calls.one("complete", "faults/complete").result == "OK"
    has_happened = fault.name in ("drop after", "truncate")
    assert faulty.count("POST", "uploadId") == (1 if has_happened else 2)
    assert faulty.count("GET", "max-parts") == (0 if has_happened else 1)
    assert calls.one("get", "faults/complete").result == "OK"


def test_a_complete_is_believed_when_the_store_says_so(faulty, calls):
    prepare(calls, "faults/said")
    faulty.forget()
    faulty.fail(answer(200, body=b"<html>"), method="POST", path="uploadId")
    assert calls.one("complete", "faults/said").result == "OK"
    assert faulty.count("POST", "uploadId") == 2
    assert calls.one("get", "faults/said").result == "OK"


@pytest.mark.parametrize("fault", LOST.values(), ids=LOST)
def test_a_creation_in_doubt_is_ours_only_with_our_bytes(faulty, calls, fault):
    path = f"faults/ours-{fault.name.replace(' ', '-')}-{fault.status}"
    faulty.fail(fault, method="PUT")
    assert calls.one("create", path, "ours").result == "OK"
    faulty.fail(fault, method="PUT")
    assert calls.one("create", path, "theirs").result == "EXISTS"


def test_a_blob_whose_creation_is_in_doubt_may_exist(faulty, calls):
    """Its path is its digest: whoever put it there, these are its bytes."""
    faulty.fail(drop_after(), method="PUT")
    assert calls.one("create-blob", "faults/blob", "bytes").result == "EXISTS"


def test_the_time_that_the_store_names_is_waited_for(faulty):
    with S3Calls(faulty) as calls:
        faulty.fail(answer(503, "SlowDown", retry_after=1))
        outcome = calls.one("stat", "faults/after")
        assert outcome.result == "NOT_FOUND" and 1000 <= outcome.ms < 1500, outcome
        date = "Tue, 01 Dec 2026 10:00:00 GMT"
        faulty.fail(answer(503, "SlowDown", retry_after="Tue, 01 Dec 2026 10:00:01 GMT", date=date))
        outcome = calls.one("stat", "faults/after")
        assert outcome.result == "NOT_FOUND" and 1000 <= outcome.ms < 1500, outcome
        for late in (60, 18446744073709552, "Tue, 01 Dec 2026 10:01:00 GMT"):
            faulty.fail(answer(503, "SlowDown", retry_after=late, date=date))
            outcome = calls.one("stat", "faults/after")
            assert outcome.result == "UNAVAILABLE" and outcome.ms < 500, outcome


def test_calls_that_failed_together_do_not_come_back_together(faulty):
    faulty.fail(answer(503, words="Slow Down"), path="jitter", times=20)
    with S3Calls(faulty) as calls:
        assert {outcome.result for outcome in calls.many(20, "stat", "faults/jitter")} == {"NOT_FOUND"}
    begun = min(record.begun for record in faulty.seen(path="jitter"))
    later = sorted(record.begun - begun for record in faulty.seen(path="jitter"))[20:]
    assert later[0] > 0.04 and later[-1] - later[0] > 0.2, later


def test_what_was_just_listed_is_deleted_by_one_request(faulty, tmp_path):
    config = faulty.apply({}, tmp_path / "data")
    with server_with_user(tmp_path, **config) as server:
        client = login(server)
        for number in range(20):
            manifest = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [],
                                   "annotations": {"number": str(number)}}).encode()
            assert client.put_manifest("faults/tag", "latest", manifest, INDEX).status == 201
        faulty.forget()
        assert client.request("DELETE", "/v2/faults/tag/manifests/latest").status == 202
        assert faulty.count("DELETE", "/tags/latest/index/") == 0
        assert faulty.count("POST", "delete=") == 1
        assert client.get("/v2/faults/tag/manifests/latest").status == 404
        faulty.forget()
        location = client.begin_upload("faults/tag")
        for number in range(40):  # every 32nd state takes those before it along
            reply = client.request("PATCH", location, body=b"x", headers={"Content-Length": "1"})
            assert reply.status == 202
            location = reply.header("location")
        assert faulty.count("POST", "delete=") == 1
        assert client.request("DELETE", location).status == 204
        assert faulty.count("POST", "delete=") == 2 and faulty.count("DELETE", "/uploads/.*/[0-9]+$") == 1
        client.close()


@pytest.mark.parametrize("fault", [drop_before(), truncate(), answer(500), answer(503, "SlowDown")],
                         ids=lambda fault: f"{fault.name} {fault.status}")
def test_a_store_that_fails_now_and_then_is_still_found_good(faulty, fault):
    """Each request of the probe is lost once: by Signature Version 4 in its head, or in the URL."""
    for method in ("PUT", "HEAD", "GET", "DELETE"):
        faulty.fail(fault, method=method)
    with S3Calls(faulty) as calls:
        assert calls.one("put", "faults/good", "bytes").result == "OK"


def test_a_blob_is_published_though_every_first_answer_is_lost(faulty, tmp_path):
    config = faulty.apply({}, tmp_path)
    with Minato(config=config) as server:
        client = server.client()
        for fault in (drop_after(), truncate(), answer(500)):
            data = os.urandom(100_000)
            for path in ("/data$", "/uploads/.*/1$", "/uploads/.*/2$", "/link$"):
                faulty.fail(fault, method="PUT", path=path)
            digest = client.push_blob("faults/blob", data)
            assert client.get(f"/v2/faults/blob/blobs/{digest}").body == data
        client.close()
