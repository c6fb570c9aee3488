"""The API token: what it closes, what it leaves open, and that it stays out of sight."""

import re
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from serving import make_assistant
from szqa.cli import app as command_line
from szqa.errors import ConfigurationError
from szqa.server import Limits, ServerSettings, make_app

TOKEN = "correct-horse-battery-staple"
QUESTION = {"question": "苏州获评国家级绿色工厂有多少家？"}
ALLOWED = "https://site.example"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    settings = ServerSettings(api_token=TOKEN, allow_origins=(ALLOWED,))
    with TestClient(make_app(make_assistant(), settings), base_url="http://127.0.0.1") as opened:
        yield opened


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/ask"),
        ("POST", "/api/feedback"),
        ("GET", "/api/documents"),
        ("GET", "/api/documents/x"),
        ("GET", "/api/info"),
        ("GET", "/api/nothing"),
        ("GET", "/api/healthy"),
        ("GET", "/gradio_api/info"),
        ("POST", "/gradio_api/mcp/"),
        ("GET", "/gradio_api/mcp/"),
    ],
)
@pytest.mark.parametrize(
    "authorization",
    [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", TOKEN],
)
def test_without_the_token_programs_get_nothing(
    client: TestClient, method: str, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = client.request(method, path, headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert response.json()["title"] == "需要口令 (unauthorized)"


def test_with_the_token_the_api_answers(client: TestClient) -> None:
    for scheme in ("Bearer", "bearer"):
        response = client.post("/api/ask", json=QUESTION, headers={"Authorization": f"{scheme} {TOKEN}"})
        assert response.json()["answer"] == "93家"


def test_pages_for_people_and_the_health_stay_open(client: TestClient) -> None:
    for path in ("/", "/index", "/docs", "/embed", "/szqa/embed.js", "/widget.js", "/api/health"):
        assert client.get(path).status_code == 200


def test_a_page_of_another_site_may_send_the_token(client: TestClient) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    assert client.options("/api/ask", headers={"Origin": ALLOWED, **asked}).status_code == 200
    refused = client.post("/api/ask", json=QUESTION, headers={"Origin": ALLOWED})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, ALLOWED)


def test_guesses_are_counted() -> None:
    settings = ServerSettings(api_token=TOKEN, limits=Limits(rate="3/hour"))
    with TestClient(make_app(make_assistant(), settings)) as client:
        statuses = [client.get("/api/info", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(5)]
    assert statuses == [401, 401, 401, 429, 429]


def test_without_pages_there_is_only_the_api() -> None:
    with TestClient(make_app(make_assistant(), ServerSettings(api_token=TOKEN, pages=False))) as client:
        for path in ("/", "/index", "/docs", "/config", "/gradio_api/queue/join", "/source/x"):
            assert client.get(path).status_code == 404
        assert client.get("/api/health").status_code == 200
        answer = client.post("/api/ask", json=QUESTION, headers={"Authorization": f"Bearer {TOKEN}"}).json()
        assert answer["answer"] == "93家"


@pytest.mark.parametrize("token", ["", "short", "x" * 15, "with space in the middle", "数" * 20, "a" * 16 + "\n"])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token: str) -> None:
    with pytest.raises(ConfigurationError, match="--api-token") as refusal:
        ServerSettings(api_token=token)
    assert not token or token not in str(refusal.value)


def test_the_token_shows_in_no_representation() -> None:
    assert TOKEN not in repr(ServerSettings(api_token=TOKEN))


def test_the_command_line_takes_it_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SZQA_API_TOKEN", "short")
    result = CliRunner().invoke(command_line, ["serve", "--index", "nothing"])
    assert isinstance(result.exception, ConfigurationError)
    assert "--api-token" in str(result.exception)
    monkeypatch.setenv("SZQA_API_TOKEN", TOKEN)
    assert not re.search(TOKEN, CliRunner().invoke(command_line, ["serve", "--help"]).output)
