"""What attackers try, in a real Chromium: the token, scripts in every text, and each page's own policy."""

import pytest
from playwright.sync_api import Page, expect

from browser.conftest import HostSite, Serve
from serving import make_assistant
from szqa.server import ServerSettings, make_app

TOKEN = "correct-horse-battery-staple"
QUESTION = "苏州获评国家级绿色工厂有多少家？"


# -- token -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def closed(serve: Serve, host_site: HostSite) -> str:
    """A server whose API asks for a token."""
    return serve(make_app(make_assistant(), ServerSettings(api_token=TOKEN, allow_origins=(host_site.origin,))))


@pytest.mark.parametrize(("token", "shown"), [(TOKEN, "93家"), ("", "请求没有被接受")])
def test_the_widget_sends_the_token_it_is_given(
    page: Page, host_site: HostSite, closed: str, token: str, shown: str
) -> None:
    body = f'<szqa-chat token="{token}"></szqa-chat><script src="{closed}/widget.js"></script>'
    page.goto(host_site.put("/token", f"<!doctype html><title>宿主</title>{body}"))
    page.locator("szqa-chat textarea").fill(QUESTION)
    page.locator("szqa-chat textarea").press("Enter")
    expect(page.locator("szqa-chat article")).to_contain_text(shown)


def test_an_embedded_page_takes_the_token_from_its_fragment(page: Page, closed: str) -> None:
    page.goto(f"{closed}/embed#token={TOKEN}")
    page.locator("szqa-chat textarea").fill(QUESTION)
    page.locator("szqa-chat textarea").press("Enter")
    expect(page.locator("szqa-chat article")).to_contain_text("93家")
