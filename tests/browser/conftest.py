"""A real Chromium, and servers on ports of this machine: every port is an origin of its own.

Where Chromium is missing the tests are skipped and say so; with ``CI`` in the environment they fail.
"""

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, expect, sync_playwright
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp

from serving import running

CHROMIUM = Path(os.environ.get("SZQA_CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 360, "height": 740}

# Two shared cores: what takes half a second alone may take ten beside other work.
_PATIENCE_MS = 20_000
expect.set_options(timeout=_PATIENCE_MS)

# Gradio catches what a part's script throws, and says so on the console.
_GRADIO_CAUGHT = re.compile(r"^Error (?:in watch callback|executing js_on_load|evaluating template)")

Serve = Callable[[ASGIApp], str]
NewPage = Callable[..., Page]


class HostSite:
    """A site of somebody else: pages by path, each with headers of its own."""

    def __init__(self) -> None:
        self.pages: dict[str, tuple[str, dict[str, str]]] = {}
        self.app = Starlette()
        self.app.add_route("/{path:path}", self._get)
        self.origin = ""

    def put(self, path: str, html: str, headers: dict[str, str] | None = None) -> str:
        """Publish a page and return its address."""
        self.pages[path] = (html, headers or {})
        return f"{self.origin}{path}"

    async def _get(self, request: Request) -> HTMLResponse:
        html, headers = self.pages.get(request.url.path, ("", {}))
        return HTMLResponse(html, 200 if request.url.path in self.pages else 404, headers=headers)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One browser for all tests of the package; each test gets a context of its own."""
    if not CHROMIUM.exists():
        report = pytest.fail if os.environ.get("CI") else pytest.skip
        report(f"没有找到 Chromium (no Chromium at {CHROMIUM}): apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def serve() -> Iterator[Serve]:
    """Serves an ASGI application on a free port until the package ends; gives its origin."""
    with ExitStack() as servers:
        yield lambda app: f"http://127.0.0.1:{servers.enter_context(running(app))}"


@pytest.fixture(scope="package")
def host_site(serve: Serve) -> HostSite:
    """Another origin than the server under test."""
    site = HostSite()
    site.origin = serve(site.app)
    return site


@pytest.fixture
def new_page(chromium: Browser) -> Iterator[NewPage]:
    """Opens pages with a locale, colours and a size; the test fails where a script of one throws an exception."""
    uncaught: list[str] = []
    contexts = []

    def listen(message: ConsoleMessage) -> None:
        if _GRADIO_CAUGHT.match(message.text):
            uncaught.append(message.text)

    def open_page(
        viewport: ViewportSize = DESKTOP,
        locale: str = "zh-CN",
        color_scheme: Literal["dark", "light"] = "light",
        reduced_motion: Literal["no-preference", "reduce"] = "reduce",
    ) -> Page:
        context = chromium.new_context(
            viewport=viewport, locale=locale, color_scheme=color_scheme, reduced_motion=reduced_motion
        )
        context.set_default_timeout(_PATIENCE_MS)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: uncaught.append(str(error)))
        page.on("console", listen)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert uncaught == []


@pytest.fixture
def page(new_page: NewPage) -> Page:
    """A page of desktop size, in Chinese, light."""
    return new_page()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a browser test again where it failed: a starved browser drops clicks."""
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.flaky(reruns=2))
