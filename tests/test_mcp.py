"""Another assistant asks over MCP: the mcp package's own client, over streamable HTTP."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import httpx
import pytest
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamablehttp_client
from mcp.types import CallToolResult, ListToolsResult, TextContent
from pydantic import AnyUrl

from serving import make_assistant, running
from szqa.server import ServerSettings, make_app

# The client still has a name that its package calls deprecated; the new one is younger than the oldest we accept.
pytestmark = pytest.mark.filterwarnings("ignore:Use `streamable_http_client` instead:DeprecationWarning")

T = TypeVar("T")
QUESTION = "苏州获评国家级绿色工厂有多少家？"


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with running(make_app(make_assistant(), ServerSettings())) as port:
        yield f"http://127.0.0.1:{port}"


def _talk(origin: str, talk: Callable[[ClientSession], Awaitable[T]], **headers: str) -> T:
    async def session() -> T:
        async with (
            streamablehttp_client(f"{origin}/gradio_api/mcp/", headers=headers) as (read, write, _),
            ClientSession(read, write) as opened,
        ):
            started = await opened.initialize()
            assert started.capabilities.tools is not None
            assert started.capabilities.resources is None
            assert started.capabilities.prompts is None
            return await talk(opened)

    return asyncio.run(session())


def _ask(origin: str, question: str, **headers: str) -> CallToolResult:
    return _talk(origin, lambda session: session.call_tool("ask", {"question": question}), **headers)


def _text(result: CallToolResult) -> str:
    (content,) = result.content
    assert isinstance(content, TextContent)
    return content.text


def test_the_one_tool_says_what_it_does(origin: str) -> None:
    listed: ListToolsResult = _talk(origin, lambda session: session.list_tools())
    (tool,) = listed.tools
    assert tool.name == "ask"
    assert "Answer a question in Chinese" in (tool.description or "")
    assert tool.inputSchema["properties"]["question"]["type"] == "string"


def test_a_question_gets_an_answer_with_its_citation(origin: str) -> None:
    result = _ask(origin, QUESTION)
    assert not result.isError
    row = json.loads(_text(result))
    assert row["answer"] == "93家"
    (citation,) = row["citations"]
    assert citation["title"] == "苏州报告"
    assert citation["quote"] == "苏州获评国家级绿色工厂93家、绿色工业园区9家。"
    low = citation["answer_start"] - citation["start"]
    assert citation["quote"][low : low + 3] == "93家"


def test_what_the_documents_do_not_say_is_null(origin: str) -> None:
    row = json.loads(_text(_ask(origin, "苏州市委书记是谁？")))
    assert row["answer"] is None
    assert row["citations"] == []


def test_a_question_that_cannot_be_asked_is_an_error(origin: str) -> None:
    result = _ask(origin, "   ")
    assert result.isError
    assert "问题是空的" in _text(result)


def test_no_host_that_a_request_names_is_called(origin: str) -> None:
    """Queued, Gradio would call the tool over HTTP, at the address that the request gives as the server's own."""
    away = {"X-Forwarded-Host": "127.0.0.1:9", "X-Forwarded-Proto": "http"}
    assert json.loads(_text(_ask(origin, QUESTION, **away)))["answer"] == "93家"


def test_there_is_nothing_but_the_tool(origin: str) -> None:
    async def read(session: ClientSession) -> str:
        with pytest.raises(McpError) as refused:
            await session.read_resource(AnyUrl("file:///etc/passwd"))
        return refused.value.error.message

    assert _talk(origin, read) == "Method not found"
    for path in ("sse", "messages/", "schema"):
        assert httpx.get(f"{origin}/gradio_api/mcp/{path}").status_code == 404
