# SPDX-License-Identifier: Apache-2.0
"""The models of this folder hold in every interleaving, and no guard of theirs is idle.

spin writes a checker in C for each; what a model's macros named G_... switch off is a guard taken out.
"""
import re
import subprocess
from pathlib import Path

import pytest
from minato import clean_environment

FOLDER = Path(__file__).parent
MODELS = sorted(path.stem for path in FOLDER.glob("*.pml"))
GUARDS = [(model, guard) for model in MODELS
          for guard in re.findall(r"^#ifndef G_(\w+)", (FOLDER / f"{model}.pml").read_text(), re.M)]
MEMORY_MIB = 3000
LIMIT_S = 300


def check(folder, model, *without, compiler=("-O2",)):
    """Runs the checker; its report. Violations leave a trail, which is told as steps."""
    def run(*command):
        return subprocess.run(command, cwd=folder, env=clean_environment(), capture_output=True, text=True,
                              timeout=LIMIT_S)

    source = FOLDER / f"{model}.pml"
    switches = [f"-DG_{guard}=0" for guard in without]
    made = run("spin", *switches, "-a", str(source))
    assert made.returncode == 0, made.stdout + made.stderr
    built = run("gcc", "-w", "-DSAFETY", "-DCOLLAPSE", f"-DMEMLIM={MEMORY_MIB}", *compiler, "-o", "pan", "pan.c")
    assert built.returncode == 0, built.stderr
    report = run("./pan", "-m100000").stdout
    assert "errors: " in report, report
    # A search that did not end has shown nothing.
    assert "max search depth too small" not in report and "out of memory" not in report, report
    return report


def is_violated(report):
    return "errors: 0" not in report


@pytest.mark.parametrize("model", MODELS)
def test_protocol_holds_in_every_interleaving(tmp_path, model):
    report = check(tmp_path, model)
    if is_violated(report):
        steps = subprocess.run(["spin", "-t", "-p", "-g", "-k", str(tmp_path / f"{model}.pml.trail"),
                                str(FOLDER / f"{model}.pml")], capture_output=True, text=True, cwd=tmp_path).stdout
        pytest.fail(f"{report}\n{steps}")


@pytest.mark.parametrize("model, guard", GUARDS)
def test_protocol_without_this_guard_is_violated(tmp_path, model, guard):
    # Searched from the other end: violations that need a restart are found sooner, and compiling takes longer than that.
    assert is_violated(check(tmp_path, model, guard, compiler=("-O0", "-DREVERSE", "-DT_REVERSE")))
