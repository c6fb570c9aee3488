"""What can be had from the server and what cannot: headers on everything, files by no road."""

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving import make_assistant, running
from szqa.server import ServerSettings, make_app
from szqa.server.headers import DATA_POLICY, chat_policy

SECRET = "secret-of-the-feedback-file"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the feedback is, and a file that only the server may read."""
    folder = tmp_path_factory.mktemp("private")
    (folder / "secret.txt").write_text(SECRET)
    return folder


@pytest.fixture(scope="module")
def port(folder: Path) -> Iterator[int]:
    with running(make_app(make_assistant(), ServerSettings(feedback=folder / "feedback.sqlite3"))) as listening:
        opinion = {"id": "1", "question": SECRET, "helpful": True, "comment": SECRET}
        assert httpx.post(f"http://127.0.0.1:{listening}/api/feedback", json=opinion, trust_env=False).is_success
        yield listening


def _get(port: int, target: str, method: str = "GET", body: bytes | None = None) -> tuple[int, bytes]:
    """A request whose path is sent as it is written: other clients tidy it up."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest(method, target, skip_host=False, skip_accept_encoding=True)
    connection.putheader("Content-Length", str(len(body or b"")))
    connection.putheader("Content-Type", "application/json")
    connection.endheaders(body)
    response = connection.getresponse()
    answer = response.status, response.read()
    connection.close()
    return answer


UP = ["..", "%2e%2e", "..%2f..", "%2e%2e%2f%2e%2e", "..%5c..", "..%252f..", "....//", ".%2e", "%c0%ae%c0%ae", "..;"]
ROOTS = [
    *("/static", "/assets", "/szqa", "/source", "/theme.css", "/svelte", "/custom_component", "/api/documents", ""),
    *("/gradio_api/file=", "/gradio_api/file", "/gradio_api/heartbeat", "/gradio_api/mcp"),
]


@pytest.mark.parametrize("root", ROOTS)
def test_no_path_leads_out(port: int, folder: Path, root: str) -> None:
    files = ["/etc/passwd", f"{folder}/secret.txt", f"{folder}/feedback.sqlite3", f"{folder}/feedback.sqlite3-wal"]
    for file in files:
        targets = [f"{root}{file}", f"{root}/{file}", f"{root}/{file[1:].replace('/', '%2f')}", f"{root}{file}%00.css"]
        targets += [f"{root}/{'/'.join([up] * 12)}{file}" for up in UP]
        for target in targets:
            status, body = _get(port, target)
            assert status in (400, 401, 403, 404, 405, 406, 410, 421, 500) or _is_public(body), (target, status)
            assert b"root:" not in body, target
            assert SECRET.encode() not in body, target
            assert b"SQLite format" not in body, target


def _is_public(body: bytes) -> bool:
    """The stylesheet of the chat, which is sent for any path below its own."""
    return b"--primary-50" in body or body == b""


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file=secret.txt"),
        ("HEAD", "/gradio_api/file=secret.txt"),
        ("POST", "/gradio_api/upload"),
        ("GET", "/gradio_api/upload_progress?upload_id=1"),
        ("GET", "/gradio_api/proxy=http://127.0.0.1:1/"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/run/predict"),
        ("POST", "/gradio_api/api/predict"),
        ("POST", "/gradio_api/call/ask"),
        ("GET", "/gradio_api/stream/a/1/b/playlist.m3u8"),
        ("GET", "/gradio_api/deep_link"),
        ("GET", "/gradio_api/dev/reload"),
        ("GET", "/gradio_api/vibe-edit"),
        ("POST", "/gradio_api/process_recording"),
        ("GET", "/monitoring"),
        ("GET", "/monitoring/summary"),
        ("GET", "/login"),
        ("POST", "/login"),
        ("GET", "/token"),
        ("GET", "/user"),
        ("GET", "/feedback.sqlite3"),
        ("GET", "/runs/feedback.sqlite3"),
        ("GET", "/.git/config"),
        ("GET", "/index/manifest.json"),
        ("GET", "/pyproject.toml"),
        ("GET", "/api/feedback/export"),
    ],
)
def test_what_the_chat_does_not_need_is_not_there(port: int, method: str, path: str) -> None:
    status, _ = _get(port, path, method, b"{}" if method == "POST" else None)
    assert status == 404


def test_a_file_named_in_an_event_is_not_read(port: int, folder: Path) -> None:
    config = json.loads(_get(port, "/config")[1])
    file = {"path": f"{folder}/secret.txt", "meta": {"_type": "gradio.FileData"}, "orig_name": "a"}
    for event in config["dependencies"]:
        body = {"data": [file, file, file], "fn_index": event["id"], "session_hash": f"s{event['id']}"}
        status, answer = _get(port, "/gradio_api/queue/join", "POST", json.dumps(body).encode())
        assert SECRET.encode() not in answer
        if status == 200:
            url = f"http://127.0.0.1:{port}/gradio_api/queue/data?session_hash=s{event['id']}"
            with httpx.stream("GET", url, trust_env=False, timeout=30) as stream:
                text = "".join(stream.iter_text())
            assert SECRET not in text
            assert "Traceback" not in text


def test_the_configuration_of_the_chat_names_no_folder(port: int, folder: Path) -> None:
    for path in ("/", "/config", "/gradio_api/info", "/openapi.json", "/api/info", "/index"):
        text = _get(port, path)[1].decode()
        for private in (str(folder), str(Path.home()), str(Path(__file__).parent)):
            # A home folder may be "/root" or "/", which other texts hold too.
            assert len(private) < 8 or private not in text, path


@pytest.mark.parametrize(
    "path",
    ["/", "/index", "/docs", "/embed", "/widget.js", "/szqa/pages.css", "/api/health", "/api/ask", "/nothing",
     "/source/nothing", "/config", "/openapi.json", "/gradio_api/file=x", "/assets/nothing.js"],
)  # fmt: skip
def test_every_response_says_what_a_browser_may_do_with_it(port: int, path: str) -> None:
    response = httpx.get(f"http://127.0.0.1:{port}{path}", trust_env=False)
    headers = response.headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in headers["permissions-policy"]
    assert ("x-frame-options" in headers) == (path != "/embed")
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors" in policy
    assert "script-src" not in policy or "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]
    assert ("'unsafe-eval'" in policy) == (path == "/"), "only Gradio compiles templates"
    assert "server" not in headers
    if not headers["content-type"].startswith("text/html"):
        assert policy == DATA_POLICY
    shared = path in ("/embed", "/widget.js") or path.startswith("/api/")
    assert headers["cross-origin-resource-policy"] == ("cross-origin" if shared else "same-origin")


def test_the_chats_inline_scripts_are_named_by_their_hashes() -> None:
    # SHA-256 of "a" in base 64.
    policy = chat_policy(b"<script>a</script><script src='x.js'></script><SCRIPT>b</SCRIPT>")
    assert re.findall(r"'sha256-[^']+'", policy) == ["'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='"]
