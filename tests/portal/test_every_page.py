"""Every page of the portal in a real browser: for people who see, hear or type differently, on a phone, in the dark."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from tests.browser.test_portal import ARGUMENTS
from tests.conftest import needs
from tests.portal import test_isolation as isolation
from tests.portal.conftest import World

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

axe = Axe()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    needs("" if chromium else "no Chromium here (on Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        # Playwright keeps a loop of its own in this thread; nothing here is asynchronous.
        os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
        yield browser
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
        browser.close()


@pytest.fixture
def page(live_server: LiveServer, browser: Browser, mine: World, signed_in: Callable[..., Client]) -> Iterator[Page]:
    client = signed_in(mine.company)
    context = browser.new_context(locale="ru-RU", viewport={"width": 1280, "height": 800})
    context.set_default_timeout(15_000)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME].value
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": cookie, "url": live_server.url}])
    yield context.new_page()
    context.close()


def test_every_page(page: Page, mine: World, live_server: LiveServer) -> None:
    found: dict[str, list[str]] = {}
    for each in isolation.pages():
        if each.posts or each.name in isolation.NO_PAGES | {"oauth"}:
            continue
        page.set_viewport_size({"width": 1280, "height": 800})
        answer = page.goto(f"{live_server.url}{isolation.address(each, mine)}")
        assert answer, each.name
        assert answer.status == 200, each.name
        faults = _faults(page) + _faults(page, dark=True) + _wide(page)
        if faults:
            found[each.name] = faults
    assert not found, "\n".join(f"{name}:\n  " + "\n  ".join(faults) for name, faults in found.items())


def _faults(page: Page, dark: bool = False) -> list[str]:
    options: dict[str, Any] = {"resultTypes": ["violations"]}
    if dark:
        page.evaluate("document.documentElement.classList.add('dark')")
        options["runOnly"] = ["color-contrast"]
    answer = axe.run(page, options=options).response
    theme = "dark: " if dark else ""
    return [
        f"{theme}{rule['id']}: {node['html'][:160]} ({node['failureSummary'].splitlines()[-1].strip()[:160]})"
        for rule in answer["violations"]
        for node in rule["nodes"]
    ]


def _wide(page: Page) -> list[str]:
    page.set_viewport_size({"width": 375, "height": 800})
    wide = page.evaluate("document.documentElement.scrollWidth")
    return [f"{wide} px wide on a phone"] if wide > 375 else []
