# SPDX-License-Identifier: Apache-2.0
"""deploy/quickstart.sh as a user runs it, on a tree that has been built."""
import signal
import subprocess
import time

import pytest

import minato

SCRIPT = minato.ROOT / "deploy" / "quickstart.sh"


def run(*arguments, cwd=None, timeout=600):
    return subprocess.run(["bash", str(SCRIPT), *map(str, arguments)], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, env=minato.clean_environment(), cwd=cwd, timeout=timeout)


def test_no_run_builds_and_says_where(tmp_path):
    done = run("--no-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(minato.ROOT / "build" / "release" / "minato") in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_second_run_takes_seconds():
    run("--no-run")
    begun = time.monotonic()
    assert run("--no-run").returncode == 0
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_says_what_to_type_and_stops_cleanly(tmp_path, number):
    port = minato.free_port()
    process = subprocess.Popen(["bash", str(SCRIPT), "--listen", f"127.0.0.1:{port}", "--data", "here"], cwd=tmp_path,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=minato.clean_environment())
    try:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "listening on" in line:
                break
        text = "".join(lines)
        assert f"docker push localhost:{port}/" in text
        assert "listening on" in text
        client = minato.Client("127.0.0.1", port)
        client.push_image("demo/hello", "v1")
        client.close()
        assert (tmp_path / "here").is_dir()
        process.send_signal(number)
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
        process.stderr.close()


@pytest.mark.parametrize("by", ["configuration", "environment"])
def test_an_address_that_no_option_names_is_neither_overridden_nor_guessed(tmp_path, by):
    port = minato.free_port()
    arguments, more = [], {}
    if by == "configuration":
        (tmp_path / "minato.yaml").write_text(f"http: {{listen: 127.0.0.1:{port}}}\nstorage: {{filesystem: {{root: here}}}}\n")
        arguments = ["--config", "minato.yaml"]
    else:
        more = {"MINATO_HTTP_LISTEN": f"127.0.0.1:{port}", "MINATO_STORAGE_FILESYSTEM_ROOT": "here"}
    process = subprocess.Popen(["bash", str(SCRIPT), *arguments], cwd=tmp_path, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                               env=minato.clean_environment(**more))
    try:
        text = ""
        for line in process.stdout:
            text += line
            if "listening on" in line:
                break
        assert f"listening on http://127.0.0.1:{port} (data in here)" in text
        assert "docker push ADDRESS/" in text and ":5000" not in text
        process.terminate()
        assert process.wait(30) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


@pytest.mark.parametrize("arguments", [["--bogus"], ["--listen"], ["--listen", "5000"], ["--data="], ["more"],
                                       ["--config", "/does/not/exist.yaml"]])
def test_wrong_options_answer_2_with_a_word_on_help(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert arguments[0].split("=")[0] in done.stderr
    assert "--help" in done.stderr
    assert done.stdout == ""


def test_help_names_every_option():
    done = run("--help")
    assert done.returncode == 0
    for option in ("--listen", "--data", "--config", "--no-run", "--help"):
        assert option in done.stdout
