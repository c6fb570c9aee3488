"""What deploy/ says of the command line is true, and the service is as locked up as it claims."""

import importlib.util
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from conftest import ROOT
from szqa.cli import app

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text("utf-8")
UNIT = ROOT / "deploy" / "szqa.service"


def _known_options() -> set[str]:
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    return {option for parameter in command.params for option in parameter.opts}


def test_the_container_runs_a_real_command_as_nobody() -> None:
    entry = re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", DOCKERFILE, re.MULTILINE)
    command = [word for part in entry for word in json.loads(part)]
    assert command[:2] == ["szqa", "serve"]
    assert {word for word in command if word.startswith("--")} <= _known_options()
    assert re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE) == ["10001:10001"]
    for name in re.findall(r"^COPY ([^-].*) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((ROOT / word).exists() for word in name.split()), name


def test_the_service_runs_a_real_command() -> None:
    (line,) = re.findall(r"^ExecStart=(.*)$", UNIT.read_text("utf-8"), re.MULTILINE)
    assert {word for word in line.split() if word.startswith("--")} <= _known_options()
    assert "DynamicUser=yes" in UNIT.read_text("utf-8")


def test_systemd_finds_the_service_well_locked_up(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("没有 systemd-analyze (not here)")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(UNIT)], capture_output=True
    )
    if b"Unknown" in done.stderr or b"unrecognized" in done.stderr:
        pytest.skip("systemd-analyze 太旧 (too old for --offline)")
    assert done.returncode == 0, done.stdout[-500:] + done.stderr


@pytest.mark.parametrize(
    ("printed", "status", "said"),
    [
        ("", 0, "连不上"),
        ('{"dependencies": [{"name": "a", "skip_reason": "x"}]}', 0, "都查不到"),
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": []}, {"name": "b", "skip_reason": "x"}]}', 0, "1/2"),
        (
            '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]}]}',
            1,
            "CVE-1，修复于 (fixed in) 2",
        ),
        (
            '{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "C", "fix_versions": []}]}]}',
            0,
            "尚无修复",
        ),
    ],
)
def test_the_audit_says_what_it_could_look_up(
    printed: str, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    audit = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(audit)
    done = subprocess.CompletedProcess[str]([], 0, stdout=printed)
    monkeypatch.setattr(audit.subprocess, "run", lambda *_, **__: done)
    assert audit.main() == status
    assert said in capsys.readouterr().out
