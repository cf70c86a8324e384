# SPDX-License-Identifier: Apache-2.0
"""The models of this folder hold in every interleaving, and no guard of theirs is idle.

spin writes a checker in C for each; what a model's macros named G_... switch off is a guard taken out. Compiling takes
longer than most searches: one checker has all guards, and is told by its environment which one to leave out. Of a model
whose guards are conditions of the preprocessor (#if G_...) each is compiled.
"""
import re
import subprocess
from pathlib import Path

import pytest
from minato import clean_environment

FOLDER = Path(__file__).parent
MODELS = sorted(path.stem for path in FOLDER.glob("*.pml"))
GUARDS = {model: re.findall(r"^#ifndef G_(\w+)", (FOLDER / f"{model}.pml").read_text(), re.M) for model in MODELS}
MEMORY_MIB = 3000
LIMIT_S = 300
READ_ENVIRONMENT = """c_decl {
int without;
__attribute__((constructor)) static void read_without(void)
{
    const char *text = getenv("WITHOUT");
    without = text == NULL ? 0 : atoi(text);
}
}
"""


def source_of(model):
    return FOLDER / f"{model}.pml"


def has_compiled_guards(model):
    return re.search(r"^#if !?G_", source_of(model).read_text(), re.M) is not None


def run(folder, *command, **variables):
    return subprocess.run(command, cwd=folder, env=clean_environment(**variables), capture_output=True, text=True,
                          timeout=LIMIT_S)


class Checker:
    """Of one model with its guards, all chosen when it runs; or, if `without` is given, without that one for good."""

    def __init__(self, folder, model, without=None):
        self.folder, self.model = folder, model
        self.is_compiled = has_compiled_guards(model)
        if self.is_compiled:
            text = f"#define G_{without} 0\n" if without else ""
        else:
            text = READ_ENVIRONMENT + "".join(f"#define G_{guard} (c_expr {{ without != {number} }})\n"
                                              for number, guard in enumerate(GUARDS[model], 1))
        (folder / "guarded.pml").write_text(text + source_of(model).read_text())
        made = run(folder, "spin", "-a", "guarded.pml")
        assert made.returncode == 0, made.stdout + made.stderr
        # In a random order, the same each time: what is wrong is found after a small part of the states.
        built = run(folder, "gcc", "-w", "-O0" if without else "-O2", "-DSAFETY", f"-DMEMLIM={MEMORY_MIB}", "-DP_RAND",
                    "-DT_RAND", "-o", "pan", "pan.c")
        assert built.returncode == 0, built.stderr

    def is_violated(self, without=None):
        number = GUARDS[self.model].index(without) + 1 if without and not self.is_compiled else 0
        report = run(self.folder, "./pan", "-m100000", "-w22", WITHOUT=str(number)).stdout
        assert "errors: " in report, report
        # A search that did not end has shown nothing.
        assert "max search depth too small" not in report and "out of memory" not in report, report
        return "errors: 0" not in report

    def explain(self):
        """The violation as steps. spin cannot follow those of a checker with C in it: one without is made."""
        source = str(source_of(self.model))
        run(self.folder, "spin", "-a", source)
        run(self.folder, "gcc", "-w", "-DSAFETY", f"-DMEMLIM={MEMORY_MIB}", "-o", "pan", "pan.c")
        run(self.folder, "./pan", "-m100000")
        return run(self.folder, "spin", "-t", "-p", "-g", "-k", f"{self.model}.pml.trail", source).stdout


@pytest.fixture(scope="module")
def checker_of(tmp_path_factory):
    made = {}

    def give(model, without=None):
        key = (model, without if has_compiled_guards(model) else None)
        if key not in made:
            made[key] = Checker(tmp_path_factory.mktemp(model), *key)
        return made[key]
    return give


@pytest.mark.parametrize("model", MODELS)
def test_protocol_holds_in_every_interleaving(checker_of, model):
    checker = checker_of(model)
    if checker.is_violated():
        pytest.fail(checker.explain())


@pytest.mark.parametrize("model, guard", [(model, guard) for model in MODELS for guard in GUARDS[model]])
def test_protocol_without_this_guard_is_violated(checker_of, model, guard):
    assert checker_of(model, guard).is_violated(without=guard)
