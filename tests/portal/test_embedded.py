"""The guided path within a partner's pages: opened once, one company's alone, and nothing but the path."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import get_script_prefix, reverse
from django.utils import timezone

from crm_adapters.base import Capability
from crm_adapters.registry import all_adapters
from employees import colours, embedding, frames
from employees.api import keys
from employees.models import ApiKey, Change, Company, Embedding, Employee, Partner, Role
from employees.sites import Page
from integrations import embedded
from integrations.models import Renewal
from tests import factories as make
from tests.portal.conftest import World
from tests.portal.test_isolation import NO_PAGES, address, pages

pytestmark = pytest.mark.django_db
CABINET = "https://cabinet.example.com"


@pytest.fixture
def partner(mine: World) -> Partner:
    row: Partner = make.PartnerFactory(
        name="North & Sons", colour="#7c2d12", origins=f"{CABINET}\nhttps://b.example.com"
    )
    Company.objects.filter(pk=mine.company.pk).update(partner=row)
    mine.company.refresh_from_db()
    return row


@pytest.fixture
def key(partner: Partner) -> ApiKey:
    return keys.issue(partner, "cabinet", embedding.SCOPES)[0]


def link(company: Company, key: ApiKey) -> tuple[Embedding, str]:
    row, url = embedding.make(company, key)
    return row, url.removeprefix(settings.PUBLIC_URL)


def browser() -> Client:
    return Client(headers={"accept-language": "en"})


class Frame:
    """A browser with an open session."""

    def __init__(self, company: Company, key: ApiKey, **options: Any) -> None:
        self.row, self.link = link(company, key)
        self.client = Client(headers={"accept-language": "en"}, **options)
        self.entered = self.client.get(self.link, follow=True)
        self.place = f"/embed/{self.row.uuid}"

    def get(self, path: str, **more: Any) -> Any:
        return self.client.get(self.place + path, **more)

    def post(self, path: str, data: Any = None) -> Any:
        return self.client.post(self.place + path, data or {})


@pytest.fixture
def frame(mine: World, key: ApiKey) -> Frame:
    return Frame(mine.company, key)


# --- The link ---------------------------------------------------------------------------------------------------------


def test_it_opens_the_path_with_the_partners_name_and_colour(frame: Frame) -> None:
    assert frame.entered.status_code == 200
    assert frame.entered.redirect_chain[-1][0] == f"{frame.place}/start/"
    text = frame.entered.content.decode()
    assert "North &amp; Sons" in text
    assert "--cb-partner: #7c2d12;" in text
    assert "nav-sidebar" not in text
    assert "Callbridge" not in re.sub(r"<script.*?</script>|<link[^>]*>", "", text, flags=re.S)


def test_it_works_once(frame: Frame) -> None:
    stranger = browser().get(frame.link, follow=True)
    assert stranger.status_code == 403
    assert "is over" in stranger.content.decode()
    again = frame.client.get(frame.link, follow=True)
    assert again.status_code == 200, "the browser that opened it goes on when the frame is loaded again"
    assert Embedding.objects.get(pk=frame.row.pk).opened_at


def test_it_is_opened_by_one_of_two_who_come_at_once(mine: World, key: ApiKey) -> None:
    row, url = link(mine.company, key)
    first, second = browser(), browser()
    (entrance,) = {each.get(url)["Location"] for each in (first, second)}
    assert first.get(entrance).status_code == 302
    assert second.get(entrance).status_code == 403
    assert second.get(f"/embed/{row.uuid}/start/").status_code == 403


def test_too_late_it_opens_nothing(mine: World, key: ApiKey) -> None:
    row, url = link(mine.company, key)
    Embedding.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = browser().get(url)
    assert answer.status_code == 403
    assert answer["Content-Security-Policy"] == f"frame-ancestors {CABINET} https://b.example.com", "the frame says why"
    assert browser().get(f"/embed/{row.uuid}/enter/{url.split('/')[2]}/").status_code == 403


def test_a_wrong_link_is_refused_and_never_framed(db: None) -> None:
    answer = browser().get(f"/embed/{'x' * 43}/")
    assert (answer.status_code, answer["X-Frame-Options"]) == (403, "DENY")


def test_without_cookies_it_stays_good_for_a_window_of_its_own(mine: World, key: ApiKey) -> None:
    row, url = link(mine.company, key)
    entrance = browser().get(url)["Location"]
    told = browser().get(entrance).content.decode()  # another browser: the cookie was not kept
    assert f'href="{settings.PUBLIC_URL}{url}" target="_blank"' in told
    assert Embedding.objects.get(pk=row.pk).opened_at is None
    assert browser().get(url, follow=True).status_code == 200


# --- What it reaches --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_nothing_but_the_path_is_there(page: Page, frame: Frame, mine: World) -> None:
    path = address(page, mine)
    answer = frame.post(path) if page.posts else frame.get(path)
    if page.name in embedded.PAGES:
        assert answer.status_code in (200, 302), path
        assert answer.get("Location", frame.place).startswith(frame.place)
    else:
        assert answer.status_code == 403, path
        assert "mine" not in answer.content.decode().replace("mine company", "")
    assert answer["Content-Security-Policy"] == f"frame-ancestors {CABINET} https://b.example.com"
    assert "X-Frame-Options" not in answer


@pytest.mark.parametrize(
    "path", ["/login/", "/accounts/email/", "/support/", "/api/v1/companies", "/logout/", "/search/"]
)
def test_nor_is_anything_beside_the_portal(path: str, frame: Frame) -> None:
    assert frame.get(path).status_code == 403


def test_every_page_of_the_path_is_named(mine: World) -> None:
    assert {page.name for page in pages()} >= embedded.PAGES
    assert not embedded.PAGES & (NO_PAGES | {"members", "keys", "exports", "calls", "renewals"})


def test_nothing_leads_out(frame: Frame, mine: World) -> None:
    for page in pages():
        if page.name in embedded.PAGES and not page.posts:
            text = frame.get(address(page, mine)).content.decode()
            for tag in re.findall(r"<(?:a|form)\b[^>]*>", text):
                there = re.search(r'(?:href|action)="([^"?#]*)', tag)
                if there and there[1] and " hidden " not in tag:
                    assert there[1].startswith(frame.place) or 'target="_blank"' in tag, (page.name, tag)


def test_another_companys_rows_are_not_found(frame: Frame, theirs: World, partner: Partner) -> None:
    """Not even those of the same partner's other customer."""
    Company.objects.filter(pk=theirs.company.pk).update(partner=partner)
    for page in ("connection", "credential", "integration"):
        assert frame.get(reverse(f"portal:{page}", args=[getattr(theirs, page).uuid])).status_code == 404
    assert "theirs" not in frame.get("/connections/").content.decode()


def test_it_is_no_sign_in(frame: Frame) -> None:
    assert frame.client.get("/start/").status_code == 302, "to the sign-in"
    (name,) = [name for name in frame.client.cookies if name.endswith(settings.SESSION_COOKIE_NAME)]
    thief = browser()
    thief.cookies[settings.SESSION_COOKIE_NAME] = frame.client.cookies[name].value
    assert thief.get("/start/").status_code == 302
    assert get_script_prefix() == "/"


def test_who_is_signed_in_is_nobody_there(mine: World, key: ApiKey, signed_in: Callable[..., Client]) -> None:
    row, _url = link(mine.company, key)
    owner = signed_in(mine.company, Role.OWNER)
    assert owner.get(f"/embed/{row.uuid}/start/").status_code == 403
    assert owner.get(f"/embed/{row.uuid}/members/").status_code == 403
    assert owner.get("/members/").status_code == 200


def test_two_companies_in_one_browser_never_mix(frame: Frame, theirs: World, partner: Partner, key: ApiKey) -> None:
    Company.objects.filter(pk=theirs.company.pk).update(partner=partner)
    theirs.company.refresh_from_db()
    other = Frame(theirs.company, key)
    assert frame.get("/start/").status_code == 200
    crossed = other.client.get(f"{frame.place}/start/")
    assert crossed.status_code == 403
    (cookie,) = [c for name, c in other.client.cookies.items() if name.endswith(settings.SESSION_COOKIE_NAME)]
    assert cookie["path"] == f"{other.place}/"


# --- While it lasts ---------------------------------------------------------------------------------------------------


def test_it_ends(frame: Frame, mine: World, key: ApiKey) -> None:
    def goes_on() -> bool:
        return bool(frame.get("/start/").status_code == 200)

    rows = Embedding.objects.filter(pk=frame.row.pk)
    assert goes_on()
    rows.update(seen_at=timezone.now() - embedding.IDLE - timedelta(seconds=1))
    assert not goes_on()
    rows.update(seen_at=timezone.now(), opened_at=timezone.now() - embedding.LONGEST - timedelta(seconds=1))
    assert not goes_on()
    rows.update(opened_at=timezone.now())
    assert goes_on()
    Company.objects.filter(pk=mine.company.pk).update(partner=make.PartnerFactory())
    assert not goes_on(), "the company is another partner's now"
    Company.objects.filter(pk=mine.company.pk).update(partner=key.partner)
    ApiKey.objects.filter(pk=key.pk).update(scopes=embedding.SCOPES[:-1])
    assert not goes_on(), "the key may less"
    ApiKey.objects.filter(pk=key.pk).update(scopes=embedding.SCOPES)
    assert goes_on()
    keys.revoke(key)
    assert not goes_on(), "the key was revoked"


def test_what_is_done_is_the_partners_doing(frame: Frame, mine: World) -> None:
    answer = frame.post("/employees/new/?next=" + frame.place + "/start/", {"name": "Anna", "extensions": "207"})
    assert answer["Location"] == f"{frame.place}/start/"
    assert Employee.objects.get(name="Anna").company == mine.company
    made = Change.objects.get(kind="employee", action="created")
    assert (made.actor, made.actor_name, made.company) == (None, "partner · North & Sons", mine.company)
    came = Change.objects.get(kind="embedding")
    assert (came.action, came.actor_name) == ("signed_in", "partner · North & Sons")


def test_forms_are_proven_within_as_well(mine: World, key: ApiKey) -> None:
    frame = Frame(mine.company, key, enforce_csrf_checks=True)
    assert frame.post("/employees/new/", {"name": "Anna"}).status_code == 403
    shown = frame.get("/employees/new/").content.decode()
    (token,) = set(re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', shown[shown.index("<main") :]))
    assert frame.post("/employees/new/", {"name": "Anna", "csrfmiddlewaretoken": token}).status_code == 302


def test_cookies_are_good_within_another_sites_pages(frame: Frame, settings: Any) -> None:
    settings.SECURE = True
    cookie = frame.get("/employees/new/").cookies[f"embed_{settings.CSRF_COOKIE_NAME}"]
    assert cookie.OutputString().endswith(f"Path={frame.place}/; SameSite=None; Partitioned; Secure")
    settings.SECURE = False
    plain = frame.get("/employees/new/").cookies[f"embed_{settings.CSRF_COOKIE_NAME}"]
    assert "Secure" not in plain.OutputString()


def test_a_crm_is_connected_in_a_window_of_its_own(frame: Frame, mine: World) -> None:
    from integrations import accounts

    assert Capability.OAUTH in all_adapters()[mine.credential.crm].capabilities
    assert accounts.can_connect(mine.credential)
    text = frame.post(reverse("portal:credential_connect", args=[mine.credential.uuid])).content.decode()
    assert "opens in a window of its own" in text
    made = Renewal.objects.get()
    assert (made.credential, made.made_by) == (mine.credential, "partner · North & Sons")


# --- Who may frame it -------------------------------------------------------------------------------------------------


def test_no_other_page_may_be_framed(mine: World, partner: Partner, signed_in: Callable[..., Client]) -> None:
    owner = signed_in(mine.company)
    for path in ("/start/", "/connections/", "/login/"):
        assert owner.get(path)["X-Frame-Options"] == "DENY"


def test_without_addresses_nobody_may_frame_it(mine: World, key: ApiKey) -> None:
    Partner.objects.update(origins="")
    assert Frame(mine.company, key).get("/start/")["Content-Security-Policy"] == "frame-ancestors 'none'"


def test_what_is_told_to_the_page_around(frame: Frame, mine: World) -> None:
    text = frame.get("/start/").content.decode()
    assert f'<script id="embedded-origins" type="application/json">["{CABINET}", "https://b.example.com"]' in text
    assert '{"type": "callbridge:step", "step": "' in text
    assert '"done": ["pbx", ' in text


@pytest.mark.parametrize(
    "origin",
    [
        "http://cabinet.example.com",
        "https://cabinet.example.com/",
        "https://cabinet.example.com/path",
        "https://*.example.com",
        "https://Cabinet.example.com",
        "https://me@example.com",
        "https://a.example.com;",
        "https://a.example.com,https://b.example.com",
        "javascript:alert(1)",
        "null",
        "*",
    ],
)
def test_what_is_no_origin(origin: str) -> None:
    with pytest.raises(ValidationError):
        frames.valid_origin(origin)


def test_this_machines_pages_only_where_private_hosts_are_allowed(settings: Any) -> None:
    frames.valid_origin("http://localhost:3000")
    settings.ALLOW_PRIVATE_HOSTS = False
    with pytest.raises(ValidationError):
        frames.valid_origin("http://localhost:3000")
    frames.valid_origin("https://localhost:3000")


def test_colours_that_white_letters_stand_on() -> None:
    assert round(colours.contrast_with_white("#000000"), 1) == 21.0
    assert round(colours.contrast_with_white("#767676"), 2) == 4.54
    for wrong in ("#ffff00", "red", "#12345", "#123456;}", "</style>", "#777777"):
        with pytest.raises(ValidationError):
            colours.readable(wrong)


def test_names_and_colours_are_only_text(frame: Frame) -> None:
    Partner.objects.update(name="<script>alert(1)</script>", colour="</sty>")
    text = frame.get("/start/").content.decode()
    assert "<script>alert" not in text
    assert "</sty>" not in text


def test_support_says_it_of_a_partner(partner: Partner) -> None:
    desk = browser()
    desk.force_login(make.UserFactory(is_staff=True, is_superuser=True))
    page = reverse("support:employees_partner_change", args=[partner.pk])
    assert CABINET in desk.get(page).content.decode()
    wrong = desk.post(page, {"name": "North", "colour": "#ffff00", "origins": "http://cabinet.example.com"})
    assert "choose a darker one" in wrong.content.decode()
    assert "http://cabinet.example.com is not right" in wrong.content.decode()
    right = desk.post(
        page, {"name": "North", "colour": "#14532d", "origins": f"{CABINET}\r\nhttps://c.example.com:8443"}
    )
    assert right.status_code == 302
    partner.refresh_from_db()
    assert (partner.colour, partner.origin_list) == ("#14532d", [CABINET, "https://c.example.com:8443"])
