"""The portal in a real browser, beside the whole product and both emulators: what a customer does on the first day."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.conftest import needs
from tests.emulators.bitrix24 import Bitrix24Emulator
from tests.emulators.mango import MangoEmulator
from tests.stack import Stack, company, running, wait_until

pytestmark = [pytest.mark.browser, pytest.mark.process]

# Without these Chromium asks its maker's hosts for news, which tests must not.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Office:
    """A company that runs, and the emulated world around it."""

    stack: Stack
    mango: MangoEmulator
    bitrix: Bitrix24Emulator
    browser: Browser
    said: dict[str, Any]

    def sign_in(self, language: str = "ru", width: int = 1280) -> Page:
        return sign_in(self.browser, self.stack, language, width)


def sign_in(browser: Browser, stack: Stack, language: str = "ru", width: int = 1280) -> Page:
    """The owner of the company "Flowers" at his overview, in a browser of his own."""
    locale = {"ru": "ru-RU", "en": "en-US"}[language]
    context = browser.new_context(locale=locale, viewport={"width": width, "height": 800})
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"a script failed: {error}"))
    page.goto(f"{stack.url}/login/")
    page.get_by_role("button", name="EN" if language == "en" else "RU").click()
    page.locator("input[type=email], input[name=username]").fill("owner@flowers.example")
    page.locator("input[type=password]").fill("demo-Passw0rd-1")
    page.locator("form:has(input[type=password]) button[type=submit]").click()
    page.wait_for_url(f"{stack.url}/")
    return page


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    needs("" if chromium else "no Chromium here (on Debian: apt install chromium)")
    folder: Path = tmp_path_factory.mktemp("office")
    with (
        Bitrix24Emulator() as bitrix,
        MangoEmulator(hub_url="http://127.0.0.1:9/", speed=1000) as mango,
        running("embedded", folder) as stack,
        sync_playwright() as playwright,
    ):
        said = stack.provision(company(mango.url, bitrix.url))
        mango.account().hub_url = said["connections"]["pbx"]["webhook_url"]
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield Office(stack, mango, bitrix, browser, said)
        browser.close()


@pytest.fixture(autouse=True)
def evening(office: Office) -> Iterator[None]:
    """Everybody closes his windows: an open one has a stream."""
    yield
    for context in office.browser.contexts:
        context.close()


@pytest.mark.parametrize(
    ("language", "journal", "written"), [("ru", "Журнал звонков", "записан"), ("en", "Calls", "written")]
)
def test_a_call_appears_in_the_journal_by_itself(office: Office, language: str, journal: str, written: str) -> None:
    page = office.sign_in(language)
    page.goto(f"{office.stack.url}/calls/")
    client = {"ru": "79000000811", "en": "79000000812"}[language]
    office.mango.call("incoming_direct", client=client, record=True).wait()
    row = page.locator("tr", has_text=f"{client[-7:-4]}-{client[-4:-2]}-{client[-2:]}")
    expect(row).to_be_visible()
    expect(row.get_by_text(written, exact=True)).to_be_visible(timeout=20_000)
    play = row.locator("button[data-play]")
    expect(play).to_be_visible(timeout=20_000)
    play.click()
    player = page.locator("#player")
    player.locator("select").select_option("1.5")
    assert player.locator("audio").evaluate("audio => audio.playbackRate") == 1.5
    with page.expect_download() as download:
        player.locator("a[data-download]").click()
    assert Path(download.value.path()).stat().st_size > 0


HIDE = """hidden => {
    Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def listeners(office: Office) -> float:
    text = requests.get(f"{office.stack.url}/metrics", timeout=5).text
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("callbridge_live_streams"))


def test_a_journal_that_is_read_stays_where_it_is_and_a_hidden_one_is_silent(office: Office) -> None:
    for client in range(871, 877):
        office.mango.call("missed_direct", client=f"79000000{client}").wait()
    office.stack.wait_quiet()
    page = office.sign_in()
    page.set_viewport_size({"width": 1280, "height": 320})
    page.goto(f"{office.stack.url}/calls/")
    wait_until(lambda: listeners(office) == 1, "the page's stream")
    read = page.locator("tr", has_text="000-08-72")
    read.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")
    before = read.bounding_box()
    node = read.element_handle()
    office.mango.call("missed_direct", client="79000000851").wait()
    expect(page.locator("tr", has_text="000-08-51")).to_have_count(1)
    after = read.bounding_box()
    assert before
    assert after
    assert abs(before["y"] - after["y"]) < 2
    assert node
    assert page.evaluate("node => node.isConnected", node), "a row that is the same stays"
    page.evaluate(HIDE, True)
    wait_until(lambda: listeners(office) == 0, "the end of a hidden page's stream")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    office.mango.call("missed_direct", client="79000000852").wait()
    office.stack.wait_quiet()
    assert asked == []
    page.evaluate(HIDE, False)
    expect(page.locator("tr", has_text="000-08-52")).to_have_count(1)


def test_the_overview_counts_by_itself(office: Office) -> None:
    page = office.sign_in()
    counted = page.locator(".cb-tile b").first
    before = int(counted.inner_text()) if counted.count() else 0
    office.mango.call("missed_direct", client="79000000861").wait()
    expect(counted).to_have_text(str(before + 1))


def test_the_passport_tells_the_whole_story(office: Office) -> None:
    office.mango.call("missed_direct", client="79000000821").wait()
    page = office.sign_in()
    page.goto(f"{office.stack.url}/calls/")
    page.locator("tr", has_text="000-08-21").get_by_role("link").first.click()
    expect(page.locator("li", has_text="Звонок зарегистрирован").first).to_be_visible()
    expect(page.get_by_text("Что прислала АТС", exact=False)).to_be_visible()
    text = page.content()
    for secret in ("demo0vpbx0api0key0000000000000a1", "demo0vpbx0api0salt000000000000b2", "demo-access"):
        assert secret not in text


def test_a_setting_is_changed_and_kept(office: Office) -> None:
    page = office.sign_in()
    address = f"{office.stack.url}/integrations/{office.said['integrations']['main']['id']}/"
    page.goto(address)
    toggle = page.get_by_label("Создавать сущность при исходящем звонке", exact=True)
    before = toggle.is_checked()
    toggle.set_checked(not before)
    page.get_by_role("button", name="Сохранить").click()
    page.goto(address)
    expect(page.get_by_label("Создавать сущность при исходящем звонке", exact=True)).to_be_checked(checked=not before)


FAIL = """UPDATE integrations_callsync SET parked = true, noted = 0, error_kind = %s, error = 'E1 user 17 is gone',
    cause = 'E1 user … is gone' WHERE call_id IN (SELECT id FROM telephony_call WHERE client_phone = %s)"""


def test_what_was_not_written_is_worked_off(office: Office) -> None:
    """A call that the CRM refused is tried again, and of a doubtful one a person says that it is there."""
    page = office.sign_in()
    for client, kind, button in (
        ("79000000831", "rejected", "Повторить все с этой причиной"),
        ("79000000832", "doubt", "Все там есть"),
    ):
        office.mango.call("missed_direct", client=client).wait()
        office.stack.wait_quiet()
        office.stack.rows(FAIL, kind, f"+{client}")
        page.goto(f"{office.stack.url}/")
        page.get_by_text("1 звонок не удалось записать").click()
        page.wait_for_url(f"{office.stack.url}/unwritten/")
        page.get_by_role("button", name=button).click()
        expect(page.get_by_text("Ошибок нет", exact=False)).to_be_visible()
        row = "SELECT s.parked FROM integrations_callsync s JOIN telephony_call c ON c.id = s.call_id"
        assert not office.stack.row(f"{row} WHERE c.client_phone = %s", f"+{client}")["parked"]
        office.stack.wait_quiet()


def test_a_missed_call_comes_by_itself_and_is_closed(office: Office) -> None:
    page = office.sign_in("en")
    page.goto(f"{office.stack.url}/missed/")
    office.mango.call("missed_direct", client="79000000841").wait()
    row = page.locator("tr", has_text="000-08-41")
    expect(row).to_be_visible(timeout=20_000)
    row.locator("summary").click()
    row.get_by_role("textbox").fill("A wrong number")
    row.get_by_role("textbox").press("Enter")
    expect(row).to_have_count(0)
    page.goto(f"{office.stack.url}/missed/?show=closed")
    expect(row.get_by_text("A wrong number")).to_be_visible()


def test_the_journal_becomes_a_file(office: Office) -> None:
    office.mango.call("incoming_direct", client="79000000842").wait()
    page = office.sign_in("en")
    page.goto(f"{office.stack.url}/calls/?q=79000000842")
    page.locator('a[href^="/exports/new/"]').click()
    page.get_by_label("Client", exact=True).set_checked(True)
    page.locator("select[name=format]").select_option("csv")
    page.locator("form.cb-form button").click()
    link = page.locator('a[href$="/file"]').first
    expect(link).to_be_visible(timeout=30_000)
    with page.expect_download() as download:
        link.click()
    text = Path(download.value.path()).read_text(encoding="utf-8-sig")
    assert "+7 900 000-08-42" in text
    assert len(text.splitlines()) == 2


def test_support_mends_and_visits(office: Office) -> None:
    """A replay's progress is seen without reloading; on a visit the customer's page looks and changes nothing."""
    office.mango.call("missed_direct", client="79000000841").wait()
    office.stack.wait_quiet()
    office.stack.rows("UPDATE employees_user SET is_staff = true WHERE email = 'owner@flowers.example'")
    office.stack.rows("UPDATE telephony_inboxevent SET state = 2, error = 'KeyError: seq' WHERE state = 1")
    page = office.sign_in("en")
    page.goto(f"{office.stack.url}/support/failed/")
    page.get_by_role("button", name="Try all of this cause again").click()
    expect(page.get_by_text("finished", exact=True)).to_be_visible(timeout=30_000)
    page.goto(f"{office.stack.url}/support/")
    page.locator("table").get_by_role("link").first.click()
    page.get_by_role("link", name="Look as this member").first.click()
    page.get_by_label("Why").fill("request 4711")
    page.get_by_role("button", name="Look").click()
    expect(page.get_by_text("Nothing can be changed.")).to_be_visible()
    page.goto(f"{office.stack.url}/notices/")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("nothing was changed")).to_be_visible()
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_text("Visits of our support")).to_be_visible()
    expect(page.get_by_text("request 4711")).to_be_visible()


def test_nothing_is_wider_than_a_phone(office: Office) -> None:
    page = office.sign_in(width=375)
    for path in (
        "",
        "calls/",
        "connections/",
        "integrations/",
        "employees/",
        "extensions/",
        "credentials/",
        "unwritten/",
        "start/",
        "trial/",
        "missed/",
        "reports/",
        "reports/?show=hour",
        "exports/",
        "exports/new/",
        "masks/",
        "notices/",
    ):
        page.goto(f"{office.stack.url}/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, path
