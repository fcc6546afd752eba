"""Every page of the portal in a real browser: for people who see, hear or type differently, on a phone, in the dark."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from django.conf import settings
from django.test import Client
from django.urls import reverse
from playwright.sync_api import Browser, Page, sync_playwright
from pytest_django.live_server_helper import LiveServer

from tests import factories as make
from tests.browser.test_portal import ARGUMENTS
from tests.conftest import needs
from tests.portal import test_isolation as isolation
from tests.portal.conftest import World
from tests.portal.test_support import fill, lists

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


@dataclass
class Looker:
    """Somebody who opens page after page, and what is wrong with them."""

    page: Page
    url: str
    found: dict[str, list[str]] = field(default_factory=dict)

    def look(self, path: str) -> None:
        self.page.set_viewport_size({"width": 1280, "height": 800})
        answer = self.page.goto(f"{self.url}{path}")
        assert answer, path
        assert answer.status == 200, path
        if faults := _faults(self.page) + _faults(self.page, dark=True) + _wide(self.page):
            self.found[path] = faults

    def told(self) -> str:
        return "\n".join(f"{path}:\n  " + "\n  ".join(faults) for path, faults in self.found.items())


@pytest.fixture
def opened(live_server: LiveServer, browser: Browser) -> Iterator[Callable[[Client | None], Looker]]:
    """A browser of a signed-in person, or of a stranger."""
    with ExitStack() as exits:

        def open_(client: Client | None = None) -> Looker:
            context = exits.enter_context(browser.new_context(locale="ru-RU", viewport={"width": 1280, "height": 800}))
            context.set_default_timeout(15_000)
            name = settings.SESSION_COOKIE_NAME
            if client:
                context.add_cookies([{"name": name, "value": client.cookies[name].value, "url": live_server.url}])
            return Looker(context.new_page(), live_server.url)

        yield open_


def test_every_page_of_the_portal(mine: World, owner: Client, opened: Callable[..., Looker]) -> None:
    looker = opened(owner)
    for each in isolation.pages():
        if not each.posts and each.name not in isolation.NO_PAGES | {"oauth"}:
            looker.look(isolation.address(each, mine))
    assert not looker.found, looker.told()


def test_pages_of_a_person(mine: World, owner: Client, opened: Callable[..., Looker]) -> None:
    """Strangers' pages, then those of somebody who is signed in, who has just proven that it is him."""
    looker = opened()
    for name in ("account_login", "account_signup", "account_reset_password"):
        looker.look(reverse(name))
    inside = opened(owner)
    for name in ("account_email", "account_change_password", "mfa_index", "usersessions_list", "account_company"):
        inside.look(reverse(name))
    assert not looker.found, looker.told()
    assert not inside.found, inside.told()


def test_pages_of_support(mine: World, opened: Callable[..., Looker]) -> None:
    """Our own."""
    client = Client()
    client.force_login(make.UserFactory(is_staff=True, is_superuser=True))
    looker = opened(client)
    for name in ("index", "find", "failed_events", "unwritten"):
        looker.look(reverse(f"support:{name}"))
    for name, key in (("customer", mine.company.uuid), ("call", mine.call.uuid), ("visit", mine.member.pk)):
        looker.look(reverse(f"support:{name}", args=[key]))
    assert not looker.found, looker.told()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("what", ["changelist", "change"])
def test_lists_and_forms_of_support(what: str, mine: World, opened: Callable[..., Looker]) -> None:
    """Those of every model, in django-unfold's frame."""
    fill(mine)
    client = Client()
    client.force_login(make.UserFactory(is_staff=True, is_superuser=True))
    looker = opened(client)
    for row in lists():
        keys = [row.model._default_manager.first().pk] if what == "change" else []
        looker.look(reverse(f"support:{row.opts.app_label}_{row.opts.model_name}_{what}", args=keys))
    assert not looker.found, looker.told()


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
