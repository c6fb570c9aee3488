"""Building, answering and serving open no connection except to their own server."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_a_whole_question_without_any_network(tmp_path: Path) -> None:
    """In a network namespace of its own there is no route, and not even the loopback interface is up."""
    unshare = shutil.which("unshare")
    allowed = unshare and subprocess.run([unshare, "-r", "-n", "true"], capture_output=True).returncode == 0
    if unshare is None or not allowed:
        pytest.skip("不能建立网络命名空间 (network namespaces cannot be made here: unshare -r -n)")
    shutil.copytree(ROOT / "corpus", tmp_path / "corpus")
    code = """
import socket
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
    raise SystemExit("there is a network")
except OSError as error:
    assert error.errno == 101, error  # ENETUNREACH
from typer.testing import CliRunner
from szqa.cli import app
assert CliRunner().invoke(app, ["build"]).exit_code == 0
result = CliRunner().invoke(app, ["ask", "有多少家企业获评省级智能车间？"])
assert result.exit_code == 0 and "224家" in result.output, result.output
from starlette.testclient import TestClient
from szqa import Assistant
from szqa.server import ServerSettings, make_app
with TestClient(make_app(Assistant.load("index"), ServerSettings())) as client:
    answer = client.post("/api/ask", json={"question": "有多少家企业获评省级智能车间？"}).json()
    assert answer["answer"] == "224家"
    assert client.get("/").status_code == 200
"""
    command = [unshare, "-r", "-n", sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


def test_the_watch_sees_a_connection(tmp_path: Path) -> None:
    code = """
import socket
try:
    socket.create_connection(("127.0.0.1", 9), timeout=1)
except OSError:
    pass
"""
    assert _attempts(code, tmp_path) != []
