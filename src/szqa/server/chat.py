"""The chat page on Gradio: layout, events and state. What a turn looks like is in the templates.

Every action of the page arrives here as one event with a few plain values, and every text goes back escaped.
"""

# Gradio reads annotations as objects, so they are not postponed here.
import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from szqa.errors import ConfigurationError
from szqa.server.api import answer_out
from szqa.server.conversation import Conversation, panel_html, view
from szqa.server.pages import STATIC
from szqa.server.service import Service
from szqa.server.visit import Visit
from szqa.strings import Language, language_of

if TYPE_CHECKING:
    import gradio as gr
    from fastapi import FastAPI
    from gradio import Blocks

__all__ = ["make_chat", "mount_chat", "warm_up"]

_FONTS: Final = ("system-ui", "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "sans-serif")
_MONO: Final = ("ui-monospace", "Menlo", "Consolas", "monospace")
_CONCURRENT: Final = 8

_Handler = Callable[..., object]


def mount_chat(app: "FastAPI", service: Service) -> None:
    """Mount the chat at the application's root, and as an MCP server where the mcp package is installed."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

    async def mount() -> None:
        _mount(app, service)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        # Where no event loop runs, Gradio makes several for its locks and never closes them.
        asyncio.run(mount())
    else:
        _mount(app, service)


def _mount(app: "FastAPI", service: Service) -> None:
    import gradio as gr

    page = make_chat(service)
    with_tools = find_spec("mcp") is not None
    gr.mount_gradio_app(
        app,
        page,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=with_tools,
        theme=gr.themes.Base(font=_FONTS, font_mono=_MONO),
        css=(STATIC / "chat.css").read_text("utf-8"),
        head='<meta name="color-scheme" content="light dark">',
    )
    if with_tools:
        _only_tools(page)


def _only_tools(page: "Blocks") -> None:
    """Leave MCP the tool only: to read a resource, Gradio would call whatever host a request names as its own."""
    from mcp import types

    if page.mcp_server_obj is None:
        raise ConfigurationError(
            f"MCP 无法启动，请更新或卸载 mcp 包 (MCP cannot start; update or remove the package mcp): {page.mcp_error}"
        )
    handlers = page.mcp_server_obj.mcp_server.request_handlers
    for kept in set(handlers) - {types.ListToolsRequest, types.CallToolRequest, types.PingRequest}:
        del handlers[kept]


def make_chat(service: Service) -> "Blocks":
    """Lay out the chat and wire its events."""
    import gradio as gr
    from gradio.events import api

    script = (STATIC / "chat.js").read_text("utf-8")
    start, act, failed = _handlers(service)

    def part(name: str, value: str = "") -> gr.HTML:
        return gr.HTML(value, elem_id=f"szqa-{name}", js_on_load=script, apply_default_css=False)

    page = gr.Blocks(title="szqa 文档问答", analytics_enabled=False)
    with page:
        state = gr.State(Visit())
        with gr.Column(elem_id="szqa"):
            header = part("header")
            conversation = part("conversation", "<p class='wait' role='status'>…</p>")
            composer = part("composer")
            panel = part("panel")
        page.load(
            start,
            state,
            [state, header, conversation, composer],
            show_progress="hidden",
            api_visibility="private",
        )
        for source in (header, conversation, composer, panel):
            _wire(source, act, failed, state, [conversation, panel])
        # Not queued, it is called in place; queued, Gradio would call it over HTTP at the host the request names.
        api(_tool(service), api_name="ask", queue=False)
    return page


def _wire(source: "gr.HTML", act: _Handler, failed: _Handler, state: "gr.State", drawn: "list[gr.HTML]") -> None:
    # Each action says what it is about and the visit orders their effects, so none has to wait for another; "once"
    # would drop what is clicked while an earlier click is under way.
    done = source.act(
        act,
        state,
        [state, *drawn],
        show_progress="hidden",
        api_visibility="private",
        trigger_mode="multiple",
        concurrency_limit=_CONCURRENT,
        concurrency_id="szqa",
    )
    done.failure(
        failed,
        state,
        [state, drawn[0]],
        show_progress="hidden",
        api_visibility="private",
        trigger_mode="multiple",
    )


def _handlers(service: Service) -> tuple[_Handler, _Handler, _Handler]:
    """What happens when the page is opened, when something is done on it, and when that goes wrong."""
    import gradio as gr

    def shown(now: Conversation, language: Language) -> str:
        starters = () if now.turns else service.starters()
        return view("conversation", language, now, starters=starters)

    def start(visit: Visit, request: gr.Request) -> Iterator[tuple[Visit, str, str, str]]:
        language = _language(request)
        header, composer = view("header", language), view("composer", language)
        # The questions to begin with are tried first, which takes a moment when the server is new.
        yield visit, header, view("conversation", language, visit.now), composer
        yield visit, header, shown(visit.now, language), composer

    def act(visit: Visit, event: gr.EventData, request: gr.Request) -> Iterator[tuple[Visit, object, object]]:
        language = _language(request)
        values: Mapping[str, object] = event._data if isinstance(event._data, dict) else {}
        if values.get("act") in ("cite", "passage"):
            documents = service.assistant.index.documents
            yield visit, gr.skip(), panel_html(visit.now, values, documents, language)
            return
        for now in visit.after(values, service, language):
            yield visit, shown(now, language), gr.skip()

    def failed(visit: Visit, request: gr.Request) -> tuple[Visit, str]:
        return visit, shown(visit.now, _language(request))

    return start, act, failed


def _tool(service: Service) -> Callable[[str], str]:
    """What an assistant calls over MCP; its docstring is what that assistant reads."""

    def ask(question: str) -> str:
        """Answer a question in Chinese with words quoted from the documents and their exact source, or null.

        Args:
            question: one question, in Chinese.

        Returns:
            JSON: answer (null where the documents do not say), score, and citations with title, quote and offsets.
        """
        return answer_out(service.ask(question)).model_dump_json()

    return ask


def warm_up(service: Service) -> threading.Thread:
    """Look for the questions to begin with, before somebody waits for them."""
    thread = threading.Thread(target=service.starters, name="szqa-starters", daemon=True)
    thread.start()
    return thread


def _language(request: "object") -> Language:
    headers = getattr(request, "headers", None) or {}
    return language_of(headers.get("accept-language"))
