# SPDX-License-Identifier: Apache-2.0
"""The S3 driver against a store that fails in every way: what its calls come to, and when."""
import pytest

from fault_store import FaultStore, answer, drop_after, drop_before, stall, stall_after, trickle, trickle_body, truncate
from s3_calls import S3Calls

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
                                       "list", "open-read", "begin", "part", "complete", "abort"])
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
