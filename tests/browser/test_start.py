"""A stranger's first minutes: from an empty company along the guided path to a test call in the CRM, and back."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Locator, Page, expect, sync_playwright

from tests.browser.test_portal import ARGUMENTS, sign_in
from tests.conftest import needs
from tests.emulators.bitrix24 import Bitrix24Emulator
from tests.emulators.mango import MangoEmulator
from tests.stack import Stack, running

pytestmark = [pytest.mark.browser, pytest.mark.process]
EMPTY = {
    "company": {"name": "Flowers", "time_zone": "Europe/Moscow", "region": "RU", "language": "en"},
    "users": [{"email": "owner@flowers.example", "role": "owner", "password": "demo-Passw0rd-1"}],
}
MOST_CLICKS, MOST_PAGES = 30, 40


@dataclass
class Stranger:
    """Somebody who has never seen these pages: he presses what stands out. What it costs him is counted."""

    page: Page
    stack: Stack
    mango: MangoEmulator
    bitrix: Bitrix24Emulator
    clicks: int = 0
    pages: list[str] = field(default_factory=list)

    def press(self, what: Locator) -> None:
        self.clicks += 1
        what.click()

    def button(self, name: str) -> None:
        self.press(self.page.get_by_role("button", name=name, exact=True))

    def go_on(self) -> None:
        """Press the one button of the path that stands out."""
        expect(self.page).to_have_url(f"{self.stack.url}/start/")
        self.press(self.page.locator("li[aria-current] .cb-primary"))

    def back_to_the_path(self) -> None:
        self.press(self.page.get_by_role("link", name="Back to the path"))

    def fill(self, **values: str) -> None:
        for name, value in values.items():
            self.page.locator(f"[name={name}]").fill(value)

    def has_done(self, steps: int) -> None:
        expect(self.page).to_have_url(f"{self.stack.url}/start/")
        expect(self.page.get_by_role("img", name="done", exact=True)).to_have_count(steps)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    needs("" if chromium else "no Chromium here (on Debian: apt install chromium)")
    with (
        Bitrix24Emulator() as bitrix,
        MangoEmulator(hub_url="http://127.0.0.1:9/", speed=1000) as mango,
        running("embedded", tmp_path_factory.mktemp("empty")) as stack,
        sync_playwright() as playwright,
    ):
        stack.provision(EMPTY)
        bitrix.portal.config.redirect_uri = f"{stack.url}/oauth/bitrix24/"
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        found = Stranger(sign_in(browser, stack, "en"), stack, mango, bitrix)
        found.page.on("dialog", lambda dialog: dialog.accept())
        found.page.on("framenavigated", lambda frame: found.pages.append(frame.url))
        yield found
        browser.close()


def test_from_nothing_to_a_test_call_in_the_crm_and_back(
    stranger: Stranger, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger.press(stranger.page.get_by_role("link", name="Begin"))
    _connect_the_pbx(stranger)
    _connect_the_crm(stranger)
    _make_a_test_call(stranger)
    _clean_up(stranger)
    with capsys.disabled():
        print(f"\nfrom nothing to a call in the CRM and back: {stranger.clicks} clicks, {len(stranger.pages)} pages")
    assert stranger.clicks <= MOST_CLICKS
    assert len(stranger.pages) <= MOST_PAGES


def _connect_the_pbx(stranger: Stranger) -> None:
    account, page = stranger.mango.account(), stranger.page
    stranger.go_on()
    stranger.press(page.get_by_role("link", name="Mango Office"))
    stranger.fill(api_url=stranger.mango.url, api_key=account.key, api_salt=account.salt)
    stranger.button("Save")
    account.hub_url = page.locator(".cb-copy code").first.inner_text()  # what he copies into the PBX's cabinet
    stranger.press(page.get_by_role("button", name="Check the connection"))
    expect(page.get_by_text("Result of the check")).to_be_visible()
    expect(page.locator(".cb-note.cb-danger")).to_have_count(0)
    stranger.back_to_the_path()
    stranger.has_done(2)
    stranger.go_on()  # loads the users
    expect(page.get_by_text("suggested")).to_have_count(len(account.employees))
    stranger.button("Save")
    stranger.go_on()  # loads the numbers
    stranger.has_done(4)


def _connect_the_crm(stranger: Stranger) -> None:
    config, page = stranger.bitrix.portal.config, stranger.page
    stranger.go_on()
    stranger.press(page.get_by_role("link", name="Bitrix24"))
    url = stranger.bitrix.url
    stranger.fill(domain=url, client_id=config.client_id, client_secret=config.client_secret, oauth_url=url)
    stranger.button("Save")
    stranger.press(page.get_by_role("button", name="Connect", exact=False).first)  # to the CRM, and back to the path
    stranger.has_done(6)
    stranger.go_on()  # proposes who is who
    expect(page.get_by_text("suggested, not saved yet").first).to_be_visible()
    stranger.press(page.get_by_label("Integration is active"))
    stranger.press(page.get_by_label("Create an entity at an incoming call"))
    page.locator("[name=default_responsible_incoming]").select_option(index=1)
    page.locator("[name=default_responsible_outgoing]").select_option(index=1)
    stranger.button("Save")
    stranger.has_done(8)


def _make_a_test_call(stranger: Stranger) -> None:
    page = stranger.page
    stranger.go_on()
    stranger.press(page.get_by_role("button", name="Show what would be written"))
    expect(page.get_by_text("The call was registered")).to_be_visible()
    assert not stranger.bitrix.calls
    stranger.press(page.get_by_role("button", name="Play it into the CRM"))
    expect(page.get_by_text("Anna Ivanova (101) answered")).to_be_visible()  # the page lives
    expect(page.get_by_text("It has landed in the CRM")).to_be_visible(timeout=40_000)
    (card,) = stranger.bitrix.calls
    assert card.finish is not None
    assert card.record is not None
    assert card.created_entities
    (lead,) = [number for kind, number in card.created_entities if kind == "LEAD"]
    expect(page.get_by_role("link", name=f"Lead {lead}")).to_have_attribute(
        "href", f"{stranger.bitrix.url}/crm/lead/details/{lead}/"
    )


def _clean_up(stranger: Stranger) -> None:
    page, portal = stranger.page, stranger.bitrix.portal
    stranger.press(page.get_by_role("button", name="Clean up in the CRM"))
    expect(page.get_by_text("2 things were removed from the CRM.")).to_be_visible()
    assert not portal.entities["LEAD"]
    assert not portal.activities
    expect(page.get_by_role("link", name="Lead")).to_have_count(0)
    expect(page.get_by_text("by hand", exact=True).first).to_be_visible()
    stranger.back_to_the_path()
    expect(page.get_by_text("Everything is done")).to_be_visible()
