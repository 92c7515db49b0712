"""The shell scripts hold to shellcheck, and refuse what they cannot do with words that help."""
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def scripts():
    for folder in [ROOT / "ops", ROOT / ".ci"]:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and (path.suffix == ".sh" or path.read_bytes()[:40].startswith(b"#!/usr/bin/env bash")):
                yield path


def test_there_are_scripts_to_look_at():
    assert {"up", "down", "test", "lib.sh"} <= {path.name for path in scripts()}


@pytest.mark.parametrize("path", scripts(), ids=lambda path: path.name)
def test_a_script_passes_shellcheck(path):
    result = subprocess.run(["shellcheck", "-x", "-P", ROOT, path], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("arguments, words", [
    (["up", "--port", "web"], "--port takes a number"),
    (["up", "--port", "70000"], "--port takes a number"),
    (["up", "--dir", "/tmp/a;b"], "--dir must not hold"),
    (["up", "--prot", "80"], "unknown argument '--prot'"),
    (["down", "now"], "unknown argument 'now'"),
    (["test", "--slow"], "unknown argument '--slow'"),
])
def test_a_wrong_argument_is_refused_before_anything_is_done(arguments, words):
    result = subprocess.run([ROOT / "ops" / arguments[0], *arguments[1:]], capture_output=True, text=True, timeout=300)
    assert result.returncode == 1
    assert words in result.stderr


def test_stopping_what_was_never_started_is_no_error(tmp_path):
    result = subprocess.run([ROOT / "ops/down", "--dir", tmp_path / "none"], capture_output=True, text=True)
    assert result.returncode == 0
    assert "nothing to stop" in result.stderr
