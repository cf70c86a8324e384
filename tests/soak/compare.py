# SPDX-License-Identifier: Apache-2.0
"""bench/compare/run.sh measures, the least that it can: minutes, most of them the build."""
import json
import subprocess

import pytest
from minato import ROOT, clean_environment

SCENARIOS = {"manifest-by-tag", "pull-storm", "push-storm", "ci-fleet", "single-large", "tag-churn"}


@pytest.fixture
def measure(tmp_path):
    """measure(NAME..., ...): the rows of its tables, and its JSON."""
    def run(*names, **environment):
        markdown, samples = tmp_path / "tables.md", tmp_path / "samples.json"
        only = [argument for name in names for argument in ("--only", name)]
        command = [ROOT / "bench" / "compare" / "run.sh", "--quick", *only, "--markdown", markdown, "--json", samples]
        done = subprocess.run(command, env=clean_environment(**environment), capture_output=True, text=True, timeout=900,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = [line for line in markdown.read_text().splitlines() if line.startswith("| ")]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines], json.loads(samples.read_text())

    return run


def test_every_scenario_has_its_row_and_minato_no_errors(measure):
    rows, samples = measure("minato", "limits", "filesystem")
    assert samples["not_measured"] == []
    expected = {(name, "minato") for name in (*SCENARIOS, "single-large, upload", "single-large, download")}
    assert {(row[0], row[1]) for row in rows if len(row) == 10} == {
        *expected, ("manifest-by-tag", "bare libh2o"), ("filesystem", "server")}
    errors = {one["measure"]: one["samples"] for one in samples["series"] if one["quantity"] == "errors"}
    assert errors == {f"filesystem: {name}": [0] for name in SCENARIOS - {"manifest-by-tag"}}


def test_registry_that_cannot_be_had_is_named_with_the_reason(measure, tmp_path):
    rows, samples = measure("zot", "filesystem", "tag-churn", XDG_CACHE_HOME=str(tmp_path), PATH="/usr/bin:/bin")
    assert samples["series"] == []
    assert samples["not_measured"][0]["why"].startswith("not built: zot needs Go")
    assert ["zot", "everywhere", samples["not_measured"][0]["why"], ""] in rows
