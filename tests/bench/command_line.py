# SPDX-License-Identifier: Apache-2.0
"""What minato-bench says about its command line, and the forms of its results."""
import json
import re
import xml.etree.ElementTree as ElementTree

import pytest

from minato_bench import SMALL
from users import USER

URL = "http://127.0.0.1:1"


@pytest.mark.parametrize("arguments, told", [
    ((), "a scenario and a URL are needed"),
    (("pull-storm",), "a scenario and a URL are needed"),
    (("pull-storm", URL, "more"), "too many arguments"),
    (("push", URL), "no scenario 'push'"),
    (("pull-storm", "127.0.0.1:5000"), "not the URL of a registry: '127.0.0.1:5000'"),
    (("pull-storm", "http://"), "not the URL of a registry"),
    (("pull-storm", "--clients", "0", URL), "--clients: not a value for it: '0'"),
    (("pull-storm", "--clients", "many", URL), "--clients: not a value for it: 'many'"),
    (("pull-storm", "--duration", "5x", URL), "--duration: not a value for it: '5x'"),
    (("pull-storm", "--rate", "0", URL), "--rate: not a value for it: '0'"),
    (("pull-storm", "--layer-size", "1T", URL), "--layer-size: not a value for it: '1T'"),
    (("pull-storm", "--seed", "-1", URL), "--seed: not a value for it: '-1'"),
    (("pull-storm", "--repository", "Bench", URL), "--repository: not the name of a repository: 'Bench'"),
    (("pull-storm", "--http1.1", "--http2", URL), "exclude each other"),
    (("pull-storm", "--password-file", "/dev/null", URL), "--password-file needs --user"),
    (("pull-storm", "--user", "a", "--password-file", "/nowhere", URL), "cannot read '/nowhere'"),
    (("pull-storm", "--speed", "9", URL), "unknown option --speed"),
    (("pull-storm", URL, "--clients"), "--clients needs a value"),
], ids=lambda value: "-".join(value) if isinstance(value, tuple) else "")
def test_bad_command_line_is_told(bench, arguments, told):
    outcome = bench(*arguments)
    assert outcome.code == 2
    assert told in outcome.errors and outcome.errors.startswith("minato-bench: ")
    assert outcome.output == ""


def test_help_names_every_option(bench):
    outcome = bench("--help")
    assert outcome.code == 0
    for option in ("clients duration warmup rate jobs seed images layers layer-size scale size repository http1.1 http2 no-follow user "
                   "password-file ca insecure pid json report quiet").split():
        assert f"--{option}" in outcome.output


def test_table_is_for_people_and_json_for_programs(server, bench, apart, tmp_path):
    arguments = ("pull-storm", *SMALL, *apart, "--user", USER, "--clients", 2, "--jobs", 4)
    outcome = bench(*arguments, "--json", tmp_path / "results.json", server.url)
    assert outcome.code == 0
    assert "get_blob" in outcome.output and "p99.9 ms" in outcome.output
    results = json.loads((tmp_path / "results.json").read_text())
    assert (results["program"], results["scenario"], results["url"]) == ("minato-bench", "pull-storm", server.url)
    assert results["options"]["clients"] == 2 and results["options"]["layer_size"] == 4096
    assert set(results["timeline"][0]) == {"second", "jobs", "requests", "bytes_in", "bytes_out", "errors", "p50_us", "p99_us"}
    assert bench(*arguments, "--quiet", server.url).output == ""


def test_results_that_cannot_be_written_are_an_error(server, bench, apart):
    outcome = bench("pull-storm", *SMALL, *apart, "--user", USER, "--jobs", 1, "--json", "/nowhere/results", server.url)
    assert outcome.code == 1
    assert "cannot write /nowhere/results" in outcome.errors


def test_password_may_stand_in_a_file(server, bench, apart, tmp_path):
    (tmp_path / "password").write_text("wonder\n")
    outcome = bench("pull-storm", *SMALL, *apart, "--user", USER, "--password-file", tmp_path / "password", "--jobs", 1,
                    server.url, password="wrong")
    assert outcome.code == 0, outcome.output


def test_report_is_one_page_that_loads_nothing(server, bench, apart, tmp_path):
    page = tmp_path / "report.html"
    outcome = bench("ci-fleet", *SMALL, *apart, "--user", USER, "--clients", 2, "--duration", "2s", "--pid", server.pid,
                    "--report", page, "--quiet", server.url)
    assert outcome.code == 0
    text = page.read_text()
    root = ElementTree.fromstring(text.replace("<!DOCTYPE html>", ""))
    titles = [title.text for title in root.iter("h2")]
    assert [title.split(",")[0] for title in titles] == [
        "Errors", "Latency by percentile", "Throughput", "Bytes", "Latency of requests by second", "Errors of requests",
        "Server: CPU", "Server: memory"]
    lines = list(root.iter("polyline"))
    assert len(lines) == text.count("&#9632;") > 12
    points = [[float(number) for number in point.split(",")] for line in lines for point in line.get("points").split()]
    assert all(0 <= x <= 860 and 0 <= y <= 240 for x, y in points)
    assert not re.search(r"<script|<link|<img|@import|url\(|src=|href=", text)


def test_report_shows_errors(bench, tmp_path):
    page = tmp_path / "report.html"
    assert bench("pull-storm", *SMALL, "--report", page, "--quiet", URL).code == 1
    cells = [cell.text for cell in ElementTree.fromstring(page.read_text().replace("<!DOCTYPE html>", "")).iter("td")]
    assert "connect" in cells and "none" not in cells
