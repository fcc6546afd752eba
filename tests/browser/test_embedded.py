"""The guided path in the page of another site, in a real browser that keeps no third-party cookies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from django.conf import settings as configured
from playwright.sync_api import Browser, FrameLocator, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from employees import embedding
from employees.api import keys
from employees.models import Company, Embedding
from telephony.models import Connection
from tests import factories as make
from tests.browser.test_portal import ARGUMENTS
from tests.conftest import needs
from tests.portal.test_every_page import faults, wide

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

AROUND = """<!doctype html><html lang="en"><title>Cabinet</title><main><h1>Cabinet</h1>
<iframe title="calls" src="{link}" style="width: 100%; height: 700px"></iframe></main>
<script>window.heard = [];
addEventListener("message", (event) => window.heard.push({{ origin: event.origin, ...event.data }}));</script>"""


class Cabinet(ThreadingHTTPServer):
    """A partner's page with `link` in a frame: of another site than the product, because its host is another."""

    link = ""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Shown)

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Shown(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        cabinet: Any = self.server
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(AROUND.format(link=cabinet.link).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    needs("" if chromium else "no Chromium here (on Debian: apt install chromium)")
    with sync_playwright() as playwright:
        arguments = [*ARGUMENTS, "--test-third-party-cookie-phaseout"]
        browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
        # Playwright keeps a loop of its own in this thread; nothing here is asynchronous.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        yield browser
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
        browser.close()


@pytest.fixture
def cabinet() -> Iterator[Cabinet]:
    with Cabinet() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(locale="en-US", viewport={"width": 1280, "height": 900})
    context.set_default_timeout(15_000)
    page = context.new_page()
    failed: list[Any] = []  # raised within the handler it would end the browser
    page.on("pageerror", lambda error: failed.append(error))
    yield page
    assert failed == []
    context.close()


def link(live_server: LiveServer, *origins: str) -> str:
    partner = make.PartnerFactory(name="North Telecom", colour="#7c2d12", origins="\n".join(origins))
    company: Company = make.CompanyFactory(name="Flowers", partner=partner)
    key, _secret = keys.issue(partner, "cabinet", embedding.SCOPES)
    return embedding.make(company, key)[1].replace(configured.PUBLIC_URL, live_server.url)


def heard(page: Page, done: list[str]) -> dict[str, Any]:
    """Waits for the message that says that these steps are done."""
    found = "done => heard.find((m) => m.type === 'callbridge:step' && m.done.join() === done)"
    return dict(page.wait_for_function(found, arg=",".join(done)).json_value())


def shown(page: Page, cabinet: Cabinet, url: str) -> FrameLocator:
    cabinet.link = url
    page.goto(cabinet.origin)
    return page.frame_locator("iframe")


def test_a_customer_walks_the_first_step_in_his_partners_cabinet(
    live_server: LiveServer, cabinet: Cabinet, page: Page, settings: Any
) -> None:
    settings.SECURE = True  # cookies as where there is https, which browsers take from this machine without it
    frame = shown(page, cabinet, link(live_server, "https://elsewhere.example.com", cabinet.origin))
    expect(frame.get_by_role("banner")).to_contain_text("North Telecom")
    assert heard(page, [])["step"] == "pbx"
    frame.get_by_role("link", name="Choose your PBX").click()
    frame.get_by_role("link", name="Mango Office").first.click()
    frame.locator("[name=api_key]").fill("a-key")
    frame.locator("[name=api_salt]").fill("a-salt")
    frame.get_by_role("button", name="Save", exact=True).click()
    frame.get_by_role("link", name="Back to the path").click()
    told = heard(page, ["pbx"])
    assert (told["step"], told["origin"]) == ("check", live_server.url)
    assert page.evaluate("heard.some((m) => m.type === 'callbridge:height' && m.height > 100)")
    assert Connection.objects.get().company.name == "Flowers"
    page.reload()
    expect(frame.get_by_role("banner")).to_contain_text("North Telecom")


def test_another_sites_page_shows_nothing(live_server: LiveServer, cabinet: Cabinet, page: Page, settings: Any) -> None:
    settings.SECURE = True
    refused: list[str] = []
    page.on("console", lambda said: refused.append(said.text))
    with page.expect_event("console", lambda said: "frame-ancestors" in said.text):
        frame = shown(page, cabinet, link(live_server, "https://elsewhere.example.com"))
    expect(frame.get_by_role("banner")).to_have_count(0)
    assert page.evaluate("heard.length") == 0


def test_without_cookies_a_window_is_offered(
    live_server: LiveServer, cabinet: Cabinet, page: Page, settings: Any
) -> None:
    """Those of a product without https are not kept in another site's page."""
    settings.PUBLIC_URL = live_server.url
    frame = shown(page, cabinet, link(live_server, cabinet.origin))
    expect(frame.get_by_role("status")).to_contain_text("keeps no cookies")
    assert Embedding.objects.get().opened_at is None
    with page.expect_popup() as opens:
        frame.get_by_role("link", name="Open in a new window").click()
    expect(opens.value.get_by_role("banner")).to_contain_text("North Telecom")
    assert Embedding.objects.get().opened_at


def test_everybody_can_use_it(live_server: LiveServer, page: Page) -> None:
    """In a window of its own: its pages, light and dark, on a phone."""
    url = link(live_server, "https://elsewhere.example.com")
    page.goto(url)
    place = page.url.removesuffix("start/")
    company = Company.objects.get()
    connection = make.ConnectionFactory(company=company)
    credential = make.CredentialFactory(company=company)
    for path in (
        "start",
        "connections/new",
        f"connections/{connection.uuid}",
        f"credentials/{credential.uuid}",
        "members",
    ):
        page.set_viewport_size({"width": 1280, "height": 900})
        page.goto(f"{place}{path}/")
        assert faults(page) + faults(page, dark=True) + wide(page) == [], path
