"""Building, answering and serving open no connection except to their own server."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

# Notes every attempt to reach an address, in the process itself: also those a library makes in a thread.
WATCH = """
import json, sys
attempts = []
def watch(event, arguments):
    if event == "socket.connect":
        attempts.append(str(arguments[1]))
    elif event == "socket.getaddrinfo":
        attempts.append(str(arguments[0]))
sys.addaudithook(watch)
"""


def _attempts(code: str, cwd: Path) -> list[str]:
    script = WATCH + code + "\nprint(json.dumps(attempts))"
    done = subprocess.run([sys.executable, "-c", script], cwd=cwd, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    attempts: list[str] = json.loads(done.stdout.splitlines()[-1])
    return attempts


def test_building_and_asking_reach_nothing(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "corpus", tmp_path / "corpus")
    code = """
from typer.testing import CliRunner
from szqa.cli import app
assert CliRunner().invoke(app, ["build"]).exit_code == 0
from szqa import Assistant
assert Assistant.load("index").ask("有多少家企业获评省级智能车间？").text == "224家"
"""
    assert _attempts(code, tmp_path) == []


def test_the_watch_sees_a_connection(tmp_path: Path) -> None:
    code = """
import socket
try:
    socket.create_connection(("127.0.0.1", 9), timeout=1)
except OSError:
    pass
"""
    assert _attempts(code, tmp_path) != []
