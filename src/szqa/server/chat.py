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

from szqa.server.api import answer_out
from szqa.server.conversation import Conversation, panel_html, view
from szqa.server.pages import STATIC
from szqa.server.service import Service
from szqa.strings import WORDS, Language, language_of

if TYPE_CHECKING:
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

    gr.mount_gradio_app(
        app,
        make_chat(service),
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=find_spec("mcp") is not None,
        theme=gr.themes.Base(font=_FONTS, font_mono=_MONO),
        css=(STATIC / "chat.css").read_text("utf-8"),
        head='<meta name="color-scheme" content="light dark">',
    )


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
        state = gr.State(Conversation())
        with gr.Column(elem_id="szqa"):
            header = part("header")
            conversation = part("conversation", "<p class='wait' role='status'>…</p>")
            composer = part("composer")
            panel = part("panel")
        page.load(start, None, [header, conversation, composer], show_progress="hidden", api_visibility="private")
        for source in (header, conversation, composer, panel):
            source.act(
                act,
                state,
                [state, conversation, panel],
                show_progress="hidden",
                api_visibility="private",
                concurrency_limit=_CONCURRENT,
                concurrency_id="szqa",
            ).failure(failed, state, [state, conversation], show_progress="hidden", api_visibility="private")
        api(_tool(service), api_name="ask")
    return page


def _handlers(service: Service) -> tuple[_Handler, _Handler, _Handler]:
    """What happens when the page is opened, when something is done on it, and when that goes wrong."""
    import gradio as gr

    def start(request: gr.Request) -> Iterator[tuple[str, str, str]]:
        language = _language(request)
        header, composer = view("header", language), view("composer", language)
        # The questions to begin with are tried first, which takes a moment when the server is new.
        yield header, view("conversation", language), composer
        yield header, view("conversation", language, starters=service.starters()), composer

    def act(
        state: Conversation, event: gr.EventData, request: gr.Request
    ) -> Iterator[tuple[Conversation, object, object]]:
        language = _language(request)
        values: Mapping[str, object] = event._data if isinstance(event._data, dict) else {}
        if values.get("act") in ("cite", "passage"):
            yield state, gr.skip(), panel_html(state, values, service.assistant.index.documents, language)
            return
        for after in state.after(values, service, language):
            starters = () if after.turns else service.starters()
            yield after, view("conversation", language, turns=after.turns, starters=starters), gr.skip()

    def failed(state: Conversation, request: gr.Request) -> tuple[Conversation, str]:
        language = _language(request)
        after = state.failed(WORDS[language].failed)
        return after, view("conversation", language, turns=after.turns)

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
