# SPDX-License-Identifier: Apache-2.0
"""Every scenario against a real server: nothing goes wrong, and the counts agree with one another and with the server."""
import pytest

from minato_bench import SMALL

SHORT = ("--clients", "4", "--duration", "1s", "--scale", "5000", "--size", "3M")


def count(results, operation):
    return results["operations"].get(operation, {"count": 0})["count"]


def assert_counts_agree(results):
    assert results["exit"] == 0, results["stderr"]
    assert results["errors"] == {} and results["jobs"]["errors"] == {}
    assert results["jobs"]["count"] > 0
    timeline = results["timeline"]
    assert sum(second["jobs"] for second in timeline) == results["jobs"]["count"]
    assert sum(second["requests"] for second in timeline) == sum(count(results, name) for name in results["operations"])
    for direction in ("bytes_in", "bytes_out"):
        whole = sum(operation[direction] for operation in results["operations"].values())
        assert results["jobs"][direction] == whole
    for operation in (*results["operations"].values(), results["jobs"]):
        latency = operation["latency_us"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["p99_9"] <= latency["max"]
        assert operation["rate"] == pytest.approx(operation["count"] / results["seconds"], rel=1e-3)


def assert_uploads_agree(results):
    """A blob that is not found is opened, sent and closed; one that is found is not."""
    uploaded = count(results, "put_upload")
    assert count(results, "patch_upload") == uploaded
    assert count(results, "post_upload") == uploaded > 0
    assert count(results, "head_blob") >= uploaded


@pytest.mark.parametrize("protocol", ["--http1.1", "--http2"])
def test_pull_storm(server, load, apart, protocol):
    results = load("pull-storm", *SHORT, *apart, protocol, "--pid", server.pid, url=server.url)
    assert_counts_agree(results)
    assert set(results["operations"]) == {"get_manifest", "get_blob"}
    # httpd, which seed 1 begins with: six layers and the config.
    assert count(results, "get_blob") == 7 * count(results, "get_manifest") == 7 * results["jobs"]["count"]
    assert all(second["rss_bytes"] > 1 << 20 for second in results["timeline"])
    assert max(second["cpu_percent"] for second in results["timeline"]) > 1


def test_push_storm(server, load, apart):
    results = load("push-storm", *SHORT, *apart, url=server.url)
    assert_counts_agree(results)
    assert_uploads_agree(results)
    assert count(results, "put_manifest") == results["jobs"]["count"]
    # The base is there after its first push.
    assert count(results, "put_upload") < 0.9 * count(results, "head_blob")


def test_ci_fleet(server, load, apart):
    results = load("ci-fleet", *SHORT, *apart, "--jobs", 150, "--duration", "20s", url=server.url)
    assert_counts_agree(results)
    assert_uploads_agree(results)
    assert results["jobs"]["count"] == 150
    assert all(count(results, name) > 0 for name in ("head_manifest", "get_manifest", "get_blob", "mount", "delete", "list_tags"))


def test_single_large(server, load, apart):
    results = load("single-large", *SHORT, *apart, "--clients", 1, url=server.url)
    assert_counts_agree(results)
    assert_uploads_agree(results)
    assert results["jobs"]["count"] == 1
    assert results["operations"]["patch_upload"]["bytes_out"] > 3 << 20
    assert results["operations"]["get_blob"]["bytes_in"] == results["operations"]["patch_upload"]["bytes_out"]


def test_tag_churn(server, load, apart):
    results = load("tag-churn", *SHORT, *apart, url=server.url)
    assert_counts_agree(results)
    assert count(results, "put_manifest") == results["jobs"]["count"]
    deleted = count(results, "delete")
    assert deleted == results["jobs"]["count"] // 4
    assert count(results, "head_manifest") == count(results, "list_tags") == results["jobs"]["count"] + deleted


def test_cold_start_pulls_each_image_once(server, load, apart):
    results = load("cold-start", *SHORT, *apart, "--images", 11, url=server.url)
    assert_counts_agree(results)
    assert results["jobs"]["count"] == count(results, "get_manifest") == 11
    assert count(results, "get_blob") == 78 + 11, "all layers of the official images, and their configs"


def test_a_second_run_with_the_same_seed_finds_everything_there(server, load, apart):
    first, second = (load("push-storm", *SMALL, *apart, "--jobs", 5, url=server.url) for _ in range(2))
    other = load("push-storm", *SMALL, *apart, "--jobs", 5, "--seed", 2, url=server.url)
    assert [count(one, "put_upload") > 0 for one in (first, second, other)] == [True, False, True]


def test_warm_up_is_not_counted(server, load, apart):
    results = load("pull-storm", *SMALL, *apart, "--clients", 2, "--warmup", "1s", "--duration", "1s", url=server.url)
    assert_counts_agree(results)
    assert results["seconds"] == pytest.approx(1, abs=0.5)


def test_memory_does_not_grow_with_the_layer(server, load, apart):
    small, large = (load("single-large", *apart, "--seed", seed, "--size", size, url=server.url)
                    for seed, size in ((1, "1M"), (2, "256M")))
    assert large["exit"] == 0
    assert large["peak_kib"] < small["peak_kib"] + (32 << 10)
