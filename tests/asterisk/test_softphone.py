"""Real calls between a browser and telephones, through a real Asterisk: the phone in the call card."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Frame, Locator, Page, Playwright, expect, sync_playwright

from crm_adapters.bitrix24.widget import LIBRARY
from tests.browser.test_portal import ARGUMENTS
from tests.conftest import needs
from tests.emulators.bitrix24.placements import LIBRARY as PORTAL_LIBRARY
from tests.portal.test_every_page import faults, wide
from tests.stack import wait_until
from tests.streams import PASSWORD, make_operators

from .calls import Truth, talk
from .lab import BROWSER, BROWSER_SECRET, Lab, line
from .world import World, world

pytestmark = [pytest.mark.browser, pytest.mark.process]

MICROPHONE = ["--use-fake-device-for-media-stream", "--autoplay-policy=no-user-gesture-required"]
ALLOWED = "--use-fake-ui-for-media-stream"
# The page's lines, so that a test can see what flows on them.
LINES = """
window.lines = [];
window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...options) { super(...options); window.lines.push(this); }
};
"""
HEARD = """async () => {
    const rows = [...(await window.lines.at(-1).getStats()).values()];
    const sum = (type, what) => rows.filter((row) => row.type === type).reduce((all, row) => all + (row[what] || 0), 0);
    return sum("inbound-rtp", "packetsReceived") > 25 && sum("inbound-rtp", "totalAudioEnergy") > 0
        && sum("outbound-rtp", "packetsSent") > 25;
}"""


@dataclass
class Desk:
    """The employee with the phone in the browser, and the world that calls him."""

    scene: World
    browser: Browser

    def window(self, browser: Browser | None = None) -> Page:
        """Where nobody has signed in."""
        context = (browser or self.browser).new_context(locale="en-US", viewport={"width": 1280, "height": 900})
        context.set_default_timeout(15_000)
        context.add_init_script(LINES)
        page = context.new_page()
        page.on("pageerror", lambda error: pytest.fail(f"a script failed: {error}"))
        return page

    def sit_down(self, browser: Browser | None = None, name: str = "nina") -> Page:
        """Somebody signs in."""
        page, url = self.window(browser), self.scene.stack.url
        page.goto(f"{url}/login/")
        page.get_by_role("button", name="EN").click()
        page.locator("input[type=email]").fill(f"{name}@flowers.example")
        page.locator("input[type=password]").fill(PASSWORD)
        page.locator("form:has(input[type=password]) button[type=submit]").click()
        page.wait_for_url(f"{url}/")
        return page

    def at_the_phone(self) -> Page:
        """The call card, with the phone switched on."""
        page = self.sit_down()
        self.open(page)
        phone(page).get_by_role("button", name="Switch on").click()
        expect(phone(page).get_by_text("ready", exact=True)).to_be_visible()
        return page

    def open(self, page: Page, path: str = "card/") -> None:
        page.goto(f"{self.scene.stack.url}/{path}")

    def enter(self, page: Page, password: str) -> None:
        """His SIP account."""
        self.open(page, "phone/")
        page.get_by_label("Extension", exact=True).select_option(str(BROWSER))
        page.get_by_label("SIP password", exact=True).fill(password)
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Saved. The phone is switched on in the call card.")).to_be_visible()


def phone(page: Page) -> Locator:
    return page.locator("#phone")


def start(playwright: Playwright, *arguments: str) -> Browser:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    needs("" if chromium else "no Chromium here (on Debian: apt install chromium)")
    return playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, *MICROPHONE, *arguments])


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as found:
        yield found


@pytest.fixture(scope="module")
def desk(lab: Lab, playwright: Playwright, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder: Path = tmp_path_factory.mktemp("softphone")
    with ExitStack() as exits:
        scene = exits.enter_context(world("embedded", lab, folder))
        make_operators(scene.stack, ("Flowers", f"Operator {BROWSER}", "nina@flowers.example"))
        browser = start(playwright, ALLOWED)
        exits.callback(browser.close)
        found = Desk(scene, browser)
        found.enter(found.sit_down(), BROWSER_SECRET)
        yield found


@pytest.fixture(autouse=True)
def evening(desk: Desk) -> Iterator[None]:
    """Everybody closes his windows."""
    yield
    for context in desk.browser.contexts:
        context.close()


def test_a_client_calls_and_is_answered_in_the_browser(desk: Desk) -> None:
    scene, client = desk.scene, desk.scene.client()
    page = desk.at_the_phone()
    calling = scene.lab.outside.dial(line(BROWSER), me=client)
    expect(phone(page).get_by_text("rings", exact=True)).to_be_visible()
    # Who it is comes with his card.
    number = re.escape(f"+7 901 {client[4:7]}-{client[7:9]}-{client[9:]}")
    # Before it the name, as soon as the CRM has made a lead of him.
    expect(phone(page).locator("[data-who]")).to_have_text(re.compile(rf"^(\+{client} - incoming call · )?{number}$"))
    phone(page).get_by_role("button", name="Answer").click()
    calling.wait("talking")
    expect(phone(page).get_by_text("conversation", exact=True)).to_be_visible()
    page.wait_for_function(HEARD)
    assert calling.hears()
    phone(page).get_by_text("Keys").click()
    phone(page).get_by_role("button", name="5", exact=True).click()
    scene.lab.outside.exchange.wait(lambda: calling.pressed == "5", "the client's telephone was told of a key", 10)
    phone(page).get_by_role("button", name="Mute").click()
    expect(phone(page).get_by_text("microphone is off")).to_be_visible()
    phone(page).get_by_role("button", name="Mute").click()
    expect(phone(page).get_by_text("microphone is off")).to_be_hidden()
    phone(page).get_by_role("button", name="Hold").click()
    expect(phone(page).get_by_text("on hold", exact=True)).to_be_visible()
    phone(page).get_by_role("button", name="Hold").click()
    expect(phone(page).get_by_text("on hold", exact=True)).to_be_hidden()
    talked = calling.talked
    phone(page).get_by_role("button", name="Hang up").click()
    calling.wait("over")
    expect(phone(page).locator("[data-call]")).to_be_hidden()
    scene.settle()
    scene.agrees(Truth(client, str(BROWSER), talk=talked, recorded=True), within=1.5)


def test_a_typed_number_is_called_from_the_browser(desk: Desk) -> None:
    scene, client = desk.scene, desk.scene.client()
    page = desk.at_the_phone()
    page.get_by_label("Number to call").fill(f"+{client}")
    page.get_by_role("button", name="Call", exact=True).click()
    expect(phone(page).get_by_text("is being called …")).to_be_visible()
    outside = scene.lab.outside.rings(for_number=client).answer()
    expect(phone(page).get_by_text("conversation", exact=True)).to_be_visible()
    page.wait_for_function(HEARD)
    assert outside.hears()
    outside.hang_up()
    expect(phone(page).locator("[data-call]")).to_be_hidden()
    scene.settle()
    scene.agrees(Truth(client, str(BROWSER), direction="out", talk=outside.talked, recorded=True))


def test_who_is_busy_is_told_so(desk: Desk) -> None:
    scene, client = desk.scene, desk.scene.client()
    page = desk.at_the_phone()
    scene.lab.outside.busy = True
    try:
        page.get_by_label("Number to call").fill(client)
        page.get_by_role("button", name="Call", exact=True).click()
        expect(phone(page).get_by_text("The number is busy.")).to_be_visible()
    finally:
        scene.lab.outside.busy = False


def test_a_click_in_the_crm_is_answered_by_the_phone_itself(desk: Desk) -> None:
    """The PBX calls who has clicked first: he has said already that he wants to talk."""
    scene, client = desk.scene, desk.scene.client()
    page = desk.at_the_phone()
    assert scene.bitrix.fire_call_start(BROWSER, f"+{client}", line(0))["statuses"] == [200]
    outside = scene.lab.outside.rings(for_number=client).answer()
    expect(phone(page).get_by_text("conversation", exact=True)).to_be_visible()
    talk()
    phone(page).get_by_role("button", name="Hang up").click()
    outside.wait("over")
    scene.settle()
    scene.agrees(Truth(client, str(BROWSER), direction="out", talk=outside.talked, recorded=True))


def test_the_panel_is_for_everybody(desk: Desk) -> None:
    """Also for those who cannot see it, on a phone, and in the dark."""
    page = desk.at_the_phone()
    calling = desk.scene.lab.outside.dial(line(BROWSER), me=desk.scene.client())
    phone(page).get_by_role("button", name="Answer").click()
    expect(phone(page).get_by_text("conversation", exact=True)).to_be_visible()
    phone(page).get_by_role("button", name="Mute").click()
    phone(page).get_by_text("Keys").click()
    assert faults(page) + faults(page, dark=True) + wide(page) == []
    calling.hang_up()
    expect(phone(page).locator("[data-call]")).to_be_hidden()


def test_a_call_is_declined(desk: Desk) -> None:
    scene, client = desk.scene, desk.scene.client()
    page = desk.at_the_phone()
    calling = scene.lab.outside.dial(line(BROWSER), me=client)
    phone(page).get_by_role("button", name="Decline").click()
    calling.wait("over")
    expect(phone(page).locator("[data-call]")).to_be_hidden()


def test_of_two_windows_one_has_the_phone(desk: Desk) -> None:
    one = desk.at_the_phone()
    other = one.context.new_page()
    desk.open(other)
    expect(phone(other).get_by_text("in another window", exact=True)).to_be_visible()
    client = desk.scene.client()
    calling = desk.scene.lab.outside.dial(line(BROWSER), me=client)
    phone(one).get_by_role("button", name="Answer").click()
    calling.wait("talking")
    expect(phone(other).locator("[data-call]")).to_be_hidden()
    calling.hang_up()
    expect(phone(one).locator("[data-call]")).to_be_hidden()
    one.close()
    expect(phone(other).get_by_text("ready", exact=True)).to_be_visible()


def test_a_wrong_password_is_called_that(desk: Desk) -> None:
    page = desk.sit_down()
    desk.enter(page, "not-the-password")
    desk.open(page)
    phone(page).get_by_role("button", name="Switch on").click()
    expect(phone(page).get_by_text("The PBX refuses the SIP user or its password.")).to_be_visible()
    desk.enter(page, BROWSER_SECRET)
    desk.open(page)
    expect(phone(page).get_by_text("ready", exact=True)).to_be_visible()


def test_without_leave_for_the_microphone_that_is_said(desk: Desk, playwright: Playwright) -> None:
    browser = start(playwright, "--deny-permission-prompts")
    try:
        page = desk.sit_down(browser)
        desk.open(page)
        phone(page).get_by_role("button", name="Switch on").click()
        expect(phone(page).get_by_text("The browser does not let this page use the microphone.")).to_be_visible()
    finally:
        browser.close()


def test_a_pbx_that_comes_back_is_found_again(desk: Desk) -> None:
    page = desk.at_the_phone()
    desk.scene.lab.pbx.stop()
    expect(phone(page).get_by_text("The PBX cannot be reached from this browser.")).to_be_visible()
    desk.scene.lab.pbx.start()
    expect(phone(page).get_by_text("ready", exact=True)).to_be_visible(timeout=30_000)


# --- In the CRM's own pages


def choose_mode(desk: Desk, mode: str) -> None:
    """An administrator does, in the settings of the integration."""
    page = desk.sit_down(name="owner")
    row = desk.scene.stack.row("SELECT uuid FROM integrations_integration")
    desk.open(page, f"integrations/{UUID(str(row['uuid']))}/")
    page.get_by_label(mode, exact=True).check()
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_text("Saved.").first).to_be_visible()
    page.context.close()


@pytest.fixture
def portal_page(desk: Desk) -> Iterator[Page]:
    """A page of Bitrix24, which knows nobody of ours: only the frame in it does."""
    choose_mode(desk, "Use the WebRTC widget")
    page = desk.window()
    page.context.route(LIBRARY, lambda route: route.fulfill(body=PORTAL_LIBRARY, content_type="text/javascript"))
    page.on("console", lambda said: print(f"{said.type}: {said.text}"))  # where something fails, this says what
    with page.expect_response(lambda answer: answer.url.endswith("/phone/account/"), timeout=60_000) as told:
        page.goto(f"{desk.scene.bitrix.url}/desktop/{BROWSER}/")
    assert told.value.ok
    assert told.value.headers["cache-control"].count("no-store") == 1
    yield page
    page.context.close()
    choose_mode(desk, "Use IP telephony")
    assert desk.scene.bitrix.portal.placements == []


def worker(page: Page) -> Frame:
    found = page.frame(name="worker")
    assert found
    return found


def test_a_client_is_answered_in_the_card_of_the_crm(desk: Desk, portal_page: Page) -> None:
    scene, client, page = desk.scene, desk.scene.client(), portal_page
    (placed,) = scene.bitrix.portal.placements
    assert placed["handler"].startswith(scene.stack.url)
    wait_until(lambda: registered(desk), "the phone has registered")
    calling = scene.lab.outside.dial(line(BROWSER), me=client)
    page.get_by_role("button", name="answer").click()
    calling.wait("talking")
    expect(page.locator("#state")).to_have_text("connected")
    worker(page).wait_for_function(HEARD)
    page.get_by_role("button", name="dialpad").click()
    scene.lab.outside.exchange.wait(lambda: calling.pressed == "7", "the client's telephone was told of a key", 10)
    for name in ("mute", "hold"):
        page.get_by_role("button", name=name).click()
        page.wait_for_function(f"on.{name} === true")
        page.get_by_role("button", name=name).click()
        page.wait_for_function(f"on.{name} === false")
    page.evaluate("window.target = '103'")
    page.get_by_role("button", name="transfer").click()
    colleague = scene.lab.phone(103).rings(by=client).answer()
    expect(page.locator("#state")).to_have_text("transferConnected")
    talk()
    talked = calling.talked
    colleague.hang_up()
    calling.wait("over")
    scene.settle()
    assert page.evaluate("window.refused") == []
    truth = Truth(client, "103", first=str(BROWSER), talk=talked, recorded=True)
    scene.agrees(truth, within=1.5)


def test_a_click_in_the_crm_is_answered_by_its_own_frame(desk: Desk, portal_page: Page) -> None:
    scene, client = desk.scene, desk.scene.client()
    wait_until(lambda: registered(desk), "the phone has registered")
    assert scene.bitrix.fire_call_start(BROWSER, f"+{client}", line(0))["statuses"] == [200]
    outside = scene.lab.outside.rings(for_number=client).answer()
    worker(portal_page).wait_for_function(HEARD)
    portal_page.get_by_role("button", name="hangup").click()
    outside.wait("over")
    scene.settle()
    scene.agrees(Truth(client, str(BROWSER), direction="out", talk=outside.talked, recorded=True))


def registered(desk: Desk) -> bool:
    with desk.scene.lab.pbx.ami() as ami:
        answer = ami.ask("Command", Command=f"pjsip show aor {BROWSER}")
    return "sip:" in answer.get("Output", "")


def test_nothing_else_is_wrong(desk: Desk) -> None:
    """The last test: over all the calls before."""
    desk.scene.settle()
    desk.scene.nothing_is_wrong()
