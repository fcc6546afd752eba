"""A person in a real browser: from signing up to a passkey. The e-mails lie as files, as on a bare installation."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from tests.browser.test_portal import ARGUMENTS
from tests.conftest import needs
from tests.stack import Stack, running

pytestmark = [pytest.mark.browser, pytest.mark.process]

PASSWORD = "seven green bicycles"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder: Path = tmp_path_factory.mktemp("people")
    with running("embedded", folder) as stack:
        yield stack


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    needs("" if chromium else "no Chromium here (on Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def url(stack: Stack) -> str:
    """By name: a passkey belongs to a name, never to a number."""
    return stack.url.replace("127.0.0.1", "localhost")


def opened(browser: Browser, **options: object) -> tuple[BrowserContext, Page]:
    context = browser.new_context(locale="en-US", **options)  # type: ignore[arg-type]
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.on("pageerror", lambda error: pytest.fail(f"a script failed: {error}"))
    return context, page


def mail_to(stack: Stack, address: str) -> str:
    """The newest e-mail to an address."""
    files = sorted((stack.folder / "mail").iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files:
        for part in reversed(file.read_bytes().split(b"-" * 79)):
            mail = message_from_bytes(part.strip())
            if mail["To"] == address:
                body = mail.get_payload(decode=True)
                assert isinstance(body, bytes)
                return body.decode()
    raise AssertionError(f"no e-mail to {address}")


def sign_up(stack: Stack, page: Page, url: str, email: str) -> None:
    page.goto(f"{url}/login/")
    page.get_by_role("link", name="Sign up").click()
    page.locator("[name=first_name]").fill("Anna Ivanova")
    page.locator("input[name=email]").fill(email)
    page.locator("[name=password1]").fill(PASSWORD)
    page.get_by_role("button", name="Sign up").click()
    page.wait_for_url("**/confirm-email/")
    found = re.search(r"^[A-Z0-9]{3,}(-[A-Z0-9]+)*$", mail_to(stack, email), re.M)
    assert found
    page.locator("[name=code]").fill(found[0])
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url("**/accounts/company/")
    page.locator("[name=name]").fill("Flowers")
    page.get_by_role("button", name="Continue").click()
    page.wait_for_url(f"{url}/")


def test_the_company_is_where_the_browser_is(stack: Stack, browser: Browser, url: str) -> None:
    context, page = opened(browser, timezone_id="Asia/Almaty")
    sign_up(stack, page, url, "almaty@example.com")
    page.goto(f"{url}/company/")
    expect(page.locator("select[name=time_zone]")).to_have_value("Asia/Almaty")
    expect(page.locator("select[name=region]")).to_have_value("US")
    context.close()


def test_a_passkey_signs_in_without_a_password(stack: Stack, browser: Browser, url: str) -> None:
    context, page = opened(browser)
    devtools = context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    sign_up(stack, page, url, "passkey@example.com")
    page.goto(f"{url}/accounts/2fa/webauthn/add/")
    page.locator("[name=password]").fill(PASSWORD)
    page.get_by_role("button", name="Confirm").click()
    page.wait_for_url("**/webauthn/add/")
    page.locator("[name=name]").fill("My laptop")
    page.locator("[name=passwordless]").check()
    page.locator("#mfa_webauthn_add").click()
    page.wait_for_url(re.compile("recovery-codes|webauthn/$"))
    page.goto(f"{url}/accounts/2fa/webauthn/")
    expect(page.get_by_text("My laptop")).to_be_visible()
    page.goto(f"{url}/accounts/company/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    page.wait_for_url(f"{url}/")
    context.close()


def test_no_page_is_wider_than_a_phone(stack: Stack, browser: Browser, url: str) -> None:
    context, page = opened(browser, viewport={"width": 375, "height": 800}, color_scheme="dark")
    for path in ("login/", "accounts/signup/", "accounts/password/reset/"):
        page.goto(f"{url}/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, path
        assert page.evaluate("document.documentElement.className") == "dark"
    sign_up(stack, page, url, "phone@example.com")
    page.goto(f"{url}/members/")
    page.locator("input[name=email]").fill("somebody.with.a.long.name@example.com")
    page.get_by_role("button", name="Invite", exact=False).click()
    for path in ("", "members/", "changes/", "companies/", "accounts/sessions/", "accounts/2fa/", "accounts/email/"):
        if path:
            page.goto(f"{url}/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 375, path
    context.close()
