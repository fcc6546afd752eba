"""The card of a live call in real browsers: who is at the telephone, and what several windows make of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from tests.browser.test_portal import ARGUMENTS
from tests.conftest import needs
from tests.emulators.bitrix24 import Bitrix24Emulator
from tests.emulators.bitrix24.portal import Client
from tests.emulators.mango import MangoEmulator
from tests.emulators.mango.simulator import Call
from tests.scenarios.world import CRAWL
from tests.stack import Stack, company, running, wait_until
from tests.streams import PASSWORD, make_operators

pytestmark = [pytest.mark.browser, pytest.mark.process]

# Notifications, as far as a page can see them: a browser without a desktop shows none.
NOTICES = """
window.notices = [];
window.Notification = class extends EventTarget {
    static permission = "granted";
    constructor(title, options) { super(); window.notices.push(`${title} | ${options.body}`); }
    close() { }
};
"""


@dataclass
class Desk:
    """A company with two operators, and the emulated world around it."""

    stack: Stack
    mango: MangoEmulator
    bitrix: Bitrix24Emulator
    browser: Browser

    def sit_down(self, name: str, path: str = "card/", width: int = 1280) -> Page:
        """Somebody signs in and opens a page; it hears of calls."""
        context = self.browser.new_context(locale="en-US", viewport={"width": width, "height": 900})
        context.set_default_timeout(15_000)
        context.add_init_script(NOTICES)
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(f"a script failed: {error}"))
        page.goto(f"{self.stack.url}/login/")
        page.get_by_role("button", name="EN").click()
        page.locator("input[type=email]").fill(f"{name}@flowers.example")
        page.locator("input[type=password]").fill(PASSWORD)
        page.locator("form:has(input[type=password]) button[type=submit]").click()
        page.wait_for_url(f"{self.stack.url}/")
        page.goto(f"{self.stack.url}/{path}")
        return page

    def call(self, scenario: str, client: str) -> Call:
        """A call that stands still in each of its phases."""
        return self.mango.call(scenario, client=client, speed=CRAWL)

    def go_on(self, call: Call) -> None:
        seen = len(call.events)
        self.mango.proceed(call)
        wait_until(lambda: len(call.events) > seen or call.done, "the call's next event")


def card(page: Page, number: str) -> Locator:
    return page.locator("[data-card]", has_text=number)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    needs("" if chromium else "no Chromium here (on Debian: apt install chromium)")
    folder: Path = tmp_path_factory.mktemp("desk")
    with (
        Bitrix24Emulator() as bitrix,
        MangoEmulator() as mango,
        running("embedded", folder) as stack,
        sync_playwright() as playwright,
    ):
        told = company(mango.url, bitrix.url)
        told["integrations"][0]["settings"]["create_entity_incoming"] = False  # people do that here
        said = stack.provision(told)
        mango.account().hub_url = said["connections"]["pbx"]["webhook_url"]
        make_operators(
            stack, ("Flowers", "Anna", "anna@flowers.example"), ("Flowers", "Boris", "boris@flowers.example")
        )
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield Desk(stack, mango, bitrix, browser)
        browser.close()


@pytest.fixture(autouse=True)
def evening(desk: Desk) -> Iterator[None]:
    """Everybody closes his windows."""
    yield
    for context in desk.browser.contexts:
        context.close()


def test_a_call_from_its_first_ring_to_the_comment_after_it(desk: Desk) -> None:
    bitrix = desk.bitrix.portal
    bitrix.add_client(Client("CONTACT", 901, "Nina Sample", ("+79000000901",), 13))
    page = desk.sit_down("anna")
    expect(page.get_by_text("No call now.", exact=False)).to_be_visible()
    call = desk.call("incoming_direct", "79000000901")
    mine = card(page, "000-09-01")
    expect(mine.get_by_text("ringing")).to_be_visible()
    expect(mine.get_by_text("Ads")).to_be_visible()
    # Nobody had asked for this client before: the CRM was, while the card was shown.
    expect(mine.get_by_role("link", name="Nina Sample")).to_have_attribute(
        "href", f"{desk.bitrix.url}/crm/contact/details/901/"
    )
    expect(mine.get_by_text("Boris Petrov").filter(visible=True)).to_be_visible()
    mine.get_by_label("New comment").fill("Wants tulips")
    desk.go_on(call)
    expect(mine.get_by_text("conversation", exact=True)).to_be_visible()
    expect(mine.get_by_label("New comment")).to_have_value("Wants tulips")
    mine.get_by_role("button", name="Save").click()
    expect(mine.locator(".cb-note", has_text="Wants tulips")).to_be_visible()
    expect(mine.get_by_label("New comment")).to_have_value("")
    mine.get_by_role("button", name="Hang up").click()
    expect(mine.get_by_text("answered", exact=False).first).to_be_visible()
    expect(mine.get_by_role("button", name="Hang up")).to_have_count(0)
    mine.get_by_label("New comment").fill("Call back on Monday")
    mine.get_by_role("button", name="Save").click()
    expect(mine.locator(".cb-note", has_text="Call back on Monday")).to_be_visible()
    page.reload()
    expect(mine.locator(".cb-note", has_text="Wants tulips")).to_be_visible()
    mine.get_by_role("button", name="Close the card").click()
    page.reload()
    expect(page.get_by_text("No call now.", exact=False)).to_be_visible()
    page.goto(f"{desk.stack.url}/calls/")
    page.locator("tr", has_text="000-09-01").get_by_role("link").first.click()
    expect(page.get_by_text("Wants tulips")).to_be_visible()


def test_two_calls_at_once_each_have_a_card(desk: Desk) -> None:
    page = desk.sit_down("anna")
    first = desk.call("incoming_direct", "79000000911")
    expect(card(page, "000-09-11").get_by_text("ringing")).to_be_visible()
    desk.go_on(first)
    card(page, "000-09-11").get_by_label("New comment").fill("about the first")
    second = desk.call("incoming_direct", "79000000912")
    expect(card(page, "000-09-12").get_by_text("ringing")).to_be_visible()
    expect(card(page, "000-09-11").get_by_label("New comment")).to_have_value("about the first")
    card(page, "000-09-12").get_by_role("button", name="Hang up").click()
    expect(card(page, "000-09-12").get_by_role("button", name="Hang up")).to_have_count(0)
    expect(card(page, "000-09-11").get_by_text("conversation", exact=True)).to_be_visible()
    second.wait(10)
    assert not first.done
    desk.go_on(first)


def test_what_a_colleague_has_answered_steps_aside(desk: Desk) -> None:
    anna, boris = desk.sit_down("anna"), desk.sit_down("boris")
    call = desk.call("incoming_group", "79000000921")
    for page in (anna, boris):
        desk_card = card(page, "000-09-21")
        if not desk_card.count():
            desk.go_on(call)
        expect(desk_card.get_by_text("ringing")).to_be_visible()
    desk.go_on(call)
    expect(card(boris, "000-09-21").get_by_text("conversation", exact=True)).to_be_visible()
    expect(card(anna, "000-09-21").get_by_text("Boris Petrov has answered")).to_be_visible()
    expect(card(anna, "000-09-21").get_by_role("button", name="Hang up")).to_have_count(0)
    desk.go_on(call)
    expect(card(boris, "000-09-21").get_by_role("button", name="Close the card")).to_be_visible()


def test_a_conversation_is_transferred(desk: Desk) -> None:
    anna, boris = desk.sit_down("anna"), desk.sit_down("boris")
    call = desk.call("incoming_direct", "79000000931")
    expect(card(anna, "000-09-31").get_by_text("ringing")).to_be_visible()
    desk.go_on(call)
    card(anna, "000-09-31").get_by_label("Transfer to").select_option("102")
    card(anna, "000-09-31").get_by_role("button", name="Transfer", exact=True).click()
    expect(card(boris, "000-09-31").get_by_text("transferred")).to_be_visible()
    desk.go_on(call)
    expect(card(boris, "000-09-31").get_by_role("button", name="Hang up")).to_be_visible()
    card(boris, "000-09-31").get_by_role("button", name="Hang up").click()
    expect(card(boris, "000-09-31").get_by_role("button", name="Hang up")).to_have_count(0)


def test_two_windows_show_the_same(desk: Desk) -> None:
    one = desk.sit_down("anna")
    other = one.context.new_page()
    other.goto(f"{desk.stack.url}/card/")
    call = desk.call("incoming_direct", "79000000941")
    for page in (one, other):
        expect(card(page, "000-09-41").get_by_text("ringing")).to_be_visible()
    card(one, "000-09-41").get_by_label("New comment").fill("seen in both")
    card(one, "000-09-41").get_by_role("button", name="Save").click()
    expect(card(other, "000-09-41").locator(".cb-note", has_text="seen in both")).to_be_visible()
    card(one, "000-09-41").get_by_role("button", name="Hang up").click()
    call.wait(10)
    for page in (one, other):
        expect(card(page, "000-09-41").get_by_role("button", name="Hang up")).to_have_count(0)
    card(other, "000-09-41").get_by_role("button", name="Close the card").click()
    for page in (one, other):
        expect(card(page, "000-09-41")).to_have_count(0)


def test_who_works_in_another_window_is_called(desk: Desk) -> None:
    page = desk.sit_down("anna")
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    call = desk.call("incoming_direct", "79000000951")
    page.wait_for_function("window.notices.length === 1")
    assert page.evaluate("window.notices") == ["+7 900 000-09-51 | Ads"]
    page.wait_for_function("document.title.includes('000-09-51')")
    desk.mango.hangup(call)
    page.wait_for_function("!document.title.includes('000-09-51')")


def test_a_card_is_not_wider_than_a_phone(desk: Desk) -> None:
    page = desk.sit_down("anna", width=375)
    call = desk.call("incoming_direct", "79000000961")
    desk.go_on(call)
    expect(card(page, "000-09-61").get_by_role("button", name="Hang up")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    desk.go_on(call)


def test_an_unknown_client_becomes_one_of_the_crm(desk: Desk) -> None:
    """He calls, is made from the card, his data are changed, a task is set: all of it stands in the CRM."""
    portal = desk.bitrix.portal
    page = desk.sit_down("anna")
    call = desk.call("incoming_direct", "79000000971")
    desk.go_on(call)
    mine = card(page, "000-09-71")
    mine.get_by_text("Create the client", exact=True).click()
    form = mine.locator("form[action$='/create/']")
    form.get_by_label("First name").fill("Polina")
    form.get_by_label("E-mail").fill("nina@example.com")
    form.get_by_role("button", name="Save").press("Enter")
    name = mine.get_by_role("link", name="Polina")
    expect(name).to_be_visible()
    (made,) = [row for row in portal.entities["CONTACT"].values() if row.get("NAME") == "Polina"]
    expect(name).to_have_attribute("href", f"{desk.bitrix.url}/crm/contact/details/{made['ID']}/")
    assert [each["VALUE"] for each in made["PHONE"]] == ["+79000000971"]
    expect(mine.get_by_text("nina@example.com")).to_be_visible()

    mine.get_by_text("Change the client's data", exact=True).click()
    form = mine.locator("form[action$='/save/']")
    form.get_by_label("Last name").fill("Sample")
    form.get_by_label("Position").fill("Florist")
    form.get_by_role("button", name="Save").click()
    expect(mine.get_by_role("link", name="Polina Sample")).to_be_visible()
    expect(mine.locator("dd", has_text="Florist")).to_be_visible()
    assert (made["LAST_NAME"], made["POST"], made["NAME"]) == ("Sample", "Florist", "Polina")

    mine.get_by_text("Set a task", exact=True).click()
    form = mine.locator("form[action$='/task/']")
    form.get_by_label("What is to be done").fill("Send prices")
    form.get_by_role("button", name="Save").click()
    expect(mine.get_by_text("Task in the CRM: written", exact=False)).to_be_visible()
    (todo,) = [each for each in portal.todos if each["ownerId"] == str(made["ID"])]
    assert todo["title"] == "Send prices"
    desk.go_on(call)


def test_what_the_crm_refuses_is_said_and_kept(desk: Desk) -> None:
    portal = desk.bitrix.portal
    portal.add_client(Client("CONTACT", 981, "Olga", ("+79000000981",), 13))
    page = desk.sit_down("anna", width=375)
    call = desk.call("incoming_direct", "79000000981")
    desk.go_on(call)
    mine = card(page, "000-09-81")
    mine.get_by_text("Change the client's data", exact=True).click()
    form = mine.locator("form[action$='/save/']")
    form.get_by_label("Last name").fill("Sample")
    portal.entities["CONTACT"][981]["LAST_NAME"] = "Other"
    form.get_by_role("button", name="Save").click()
    expect(mine.get_by_text("Somebody has changed this in the CRM meanwhile", exact=False)).to_be_visible()
    expect(form.get_by_label("Last name")).to_have_value("Sample")
    form.get_by_role("button", name="Save").click()
    expect(mine.get_by_text("Client's data in the CRM: written", exact=False)).to_be_visible()
    assert portal.entities["CONTACT"][981]["LAST_NAME"] == "Sample"
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    desk.go_on(call)


def test_an_answer_that_is_lost_is_looked_for_and_nothing_is_sent_twice(desk: Desk) -> None:
    portal = desk.bitrix.portal
    portal.add_client(Client("CONTACT", 991, "Olga", ("+79000000991",), 13))
    page = desk.sit_down("anna")
    call = desk.call("incoming_direct", "79000000991")
    desk.go_on(call)
    mine = card(page, "000-09-91")
    expect(mine.get_by_role("link", name="Olga")).to_be_visible()
    mine.get_by_text("Set a task", exact=True).click()
    form = mine.locator("form[action$='/task/']")
    form.get_by_label("What is to be done").fill("Call back")
    with desk.bitrix.faulty("reset", after=True, method="crm.activity.todo.add", count=1, target="all"):
        form.get_by_role("button", name="Save").click()
        expect(mine.get_by_text("Look in the CRM before you try again", exact=False)).to_be_visible()
    assert [each["title"] for each in portal.todos if each["ownerId"] == "991"] == ["Call back"]
    expect(mine.get_by_role("link", name="look")).to_have_attribute(
        "href", f"{desk.bitrix.url}/crm/contact/details/991/"
    )
    desk.go_on(call)
