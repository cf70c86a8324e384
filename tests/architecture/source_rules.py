# SPDX-License-Identifier: Apache-2.0
"""What the sources may name: no banned calls, third parties only behind their one door, nothing of a machine."""
import re
import subprocess
from pathlib import Path

import pytest
from minato import ROOT

BANNED = dict(line.split(None, 1) for line in (Path(__file__).parent / "banned_calls.txt").read_text().splitlines()
              if line.strip() and not line.startswith("#"))

# Name -> the only files that may know it.
THIRD_PARTIES = {
    r"\bh2o_|\bH2O_|h2o\.h": r"src/http/|src/async/loop\.c$",
    r"\bphr_": r"src/http/",
    r"\bjson_t\b|\bjson_(loadb|object_get|array_get|decref)|jansson\.h": r"src/oci/|storage-drivers/s3/(credentials_parse|google_key)\.c$",
    r"\bcrypt_r\b|\bcrypt_rn\b|\bcrypt_ra\b|<crypt\.h>": r"src/access/",
    r"\bcurl_|CURL|curl/": r"src/outbound/",
    r"\bS3_[a-z]|\bS3Status|libs3\.h": r"storage-drivers/s3v2/",
    r"\bcrc32_[a-z]|isa-l/": r"storage-drivers/s3/checksum\.c$",
    r"\bredis[A-Z]|hiredis": r"src/outbound/",
    r"\byaml_|<yaml\.h>": r"src/config/",
    r"\bcyaml_": r"src/config/",
    # Of the storage, what signs the URLs of content delivery networks.
    r"<openssl/": r"src/base/|src/oci/|src/access/|src/index/|src/registry/upload_token\.c$|src/http/|"
                  r"src/storage/cdn_signature\.c$|storage-drivers/s3/(sigv4|google_key|checksum)\.c$",
}


def without_comments(text):
    """C without comments, strings kept; line numbers stay."""
    pattern = re.compile(r'("(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')|//[^\n]*|/\*.*?\*/', re.S)
    return pattern.sub(lambda m: m.group(1) or "\n" * m.group(0).count("\n") or " ", text)


def without_strings(text):
    return re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)


def sources():
    return sorted([*ROOT.glob("src/**/*.[ch]"), *ROOT.glob("storage-drivers/**/*.[ch]"), *ROOT.glob("include/**/*.h")])


def find(pattern, strip=True):
    for path in sources():
        text = without_comments(path.read_text())
        for number, line in enumerate((without_strings(text) if strip else text).splitlines(), 1):
            if re.search(pattern, line):
                yield str(path.relative_to(ROOT)), number, line.strip()


@pytest.mark.parametrize("call", BANNED)
def test_banned_call_is_not_made(call):
    found = [f"{name}:{number}: {line}" for name, number, line in find(rf"(?<![\w.>]){call}\s*\(")]
    assert found == [], f"use instead: {BANNED[call]}"


@pytest.mark.parametrize("pattern", THIRD_PARTIES)
def test_third_party_is_named_only_behind_its_door(pattern):
    allowed = re.compile(THIRD_PARTIES[pattern])
    found = [f"{name}:{number}: {line}" for name, number, line in find(pattern) if not allowed.match(name)]
    assert found == []


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_source_begins_with_its_licence_and_purpose(path):
    head = path.read_text().splitlines()
    assert "SPDX-License-Identifier: Apache-2.0" in head[0]
    if path.suffix == ".c":
        assert len(head) > 2 and head[2].startswith(" * "), "a source opens with what lives here and what does not"


def tracked():
    names = subprocess.run(["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                           check=True, capture_output=True).stdout.split(b"\0")
    return [ROOT / name.decode() for name in names if name]


def texts():
    for path in tracked():
        if path.is_file() and "corpus" not in path.parts and path.stat().st_size < 1_000_000:
            try:
                yield path, path.read_text()
            except UnicodeDecodeError:
                continue


def test_no_file_names_a_folder_of_one_machine():
    pattern = re.compile(r"(?<![\w.])/(root|home/\w+|work)/[\w.]")
    found = [f"{path.relative_to(ROOT)}: {match.group(0)}" for path, text in texts() if path != Path(__file__)
             for match in pattern.finditer(text)]
    assert found == []


def test_nothing_is_left_to_do():
    # In two halves, so that this line is not found.
    pattern = re.compile(r"\b(TO" "DO|FIX" "ME|XX" "X)\\b")
    found = [f"{path.relative_to(ROOT)}" for path, text in texts()
             if path.suffix in (".c", ".h", ".py", ".sh", ".txt") and pattern.search(text)]
    assert found == []


def test_no_file_is_large():
    """Binaries and downloads do not belong in the tree."""
    found = [f"{path.relative_to(ROOT)}: {path.stat().st_size}" for path in tracked()
             if path.is_file() and path.stat().st_size > 500_000]
    assert found == []
