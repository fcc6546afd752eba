"""How numbers are shown: as the company wants them, and hidden from whom it says, wherever they might stand."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from employees import phones
from employees.models import Role
from employees.phones import Look, Style
from employees.rights import RIGHTS
from integrations import exports
from integrations.columns import COLUMNS
from integrations.journal import CrmJournalFilter
from integrations.models import Export
from tests import factories as make
from tests.portal.conftest import World
from tests.portal.test_isolation import address, body, pages
from tests.portal.test_reports import REPORTS

PHONE = "+79261112233"
NATIONAL = "9261112233"
HIDDEN_FROM = [Role.OPERATOR, Role.READ_ONLY]


def without_anything_between(text: str) -> str:
    return re.sub(r"\D", "", text)


# --- One function


@pytest.mark.parametrize(
    ("style", "whole", "secret"),
    [
        (Style.INTERNATIONAL, "+7 926 111-22-33", "+7 926 ***-**-33"),
        (Style.DIGITS, "79261112233", "7926*****33"),
        (Style.NATIONAL, "8 (926) 111-22-33", "8 (926) ***-**-33"),
    ],
)
def test_styles(style: Style, whole: str, secret: str) -> None:
    with phones.shown(Look(style, "RU")):
        assert phones.pretty(PHONE) == phones.of_client(PHONE) == whole
    with phones.shown(Look(style, "RU", hidden=True)):
        assert phones.pretty(PHONE) == whole
        assert phones.of_client(PHONE) == secret
    assert phones.of_client(PHONE) == "+7 926 111-22-33"


def test_a_foreign_number_is_never_national() -> None:
    with phones.shown(Look(Style.NATIONAL, "RU")):
        assert phones.pretty("+442079460958") == "+44 20 7946 0958"
    with phones.shown(Look(Style.NATIONAL, "GB")):
        assert phones.pretty("+442079460958") == "020 7946 0958"


@pytest.mark.parametrize("number", ["+442079460958", "+3725123456", "+375291234567", "+12025550123", "+1234567"])
def test_at_least_half_of_any_number_is_hidden(number: str) -> None:
    for style in Style:
        with phones.shown(Look(style, "RU", hidden=True)):
            text = phones.of_client(number)
        assert text.count("*") >= 3
        assert text.endswith(number[-2:])
        assert without_anything_between(number) not in without_anything_between(text)


@pytest.mark.parametrize("number", ["112", "sip:anna@example.com", "anna"])
def test_what_is_no_phone_is_hidden_whole(number: str) -> None:
    with phones.shown(Look(hidden=True)):
        assert set(phones.of_client(number)) == {"*"}
    assert phones.of_client(number) == number


@pytest.mark.parametrize(
    "text",
    ["Anna +7 926 111-22-33", "тел79261112233", "8(926)1112233 Anna", "?phone=%2B79261112233&x=1", "+7.926.111.22.33"],
)
def test_texts(text: str) -> None:
    assert phones.in_text(text) == text
    with phones.shown(Look(hidden=True)):
        assert NATIONAL not in without_anything_between(phones.in_text(text))
        assert phones.in_text("HTTP 503: order 1234") == "HTTP 503: order 1234"


# --- Nowhere on any page


@pytest.fixture
def known(mine: World) -> World:
    """A company whose call, client, errors, log and decisions all hold the client's number."""
    mine.company.hidden_from_operators = mine.company.hidden_from_read_only = True
    mine.company.save()
    mine.client_phone.phone = PHONE
    mine.client_phone.save()
    mine.client.name = "Anna +7 926 111-22-33"
    mine.client.organisation = "8 (926) 111-22-33 Ltd"
    mine.client.save()
    call = mine.call
    call.client_phone, call.key, call.utm = PHONE, f"key-{PHONE}", {"phone": PHONE}
    call.save()
    make.DecisionFactory(call=call, kind="routing", code="unheard_of", details={})
    make.DecisionFactory(call=call, kind="routing", code=f"said {PHONE}"[:40])
    make.InboxEventFactory(connection=mine.connection, call=call, body=f"phone={NATIONAL}".encode())
    for account in (mine.connection.uuid, mine.credential.uuid, mine.call.uuid):
        exchange = make.ExchangeFactory(company=mine.company, account=account, request=f"to {PHONE}", answer=PHONE)
        exchange.calls.add(call)
    sync = mine.sync
    sync.noted, sync.parked, sync.error, sync.error_kind = 0, True, f"E1 phone {PHONE} is bad", "rejected"
    sync.details = {"phone": PHONE}
    sync.history = [{"step": "open", "words": f"said {PHONE}", "at": timezone.now().isoformat()}]
    sync.save()
    mine.recording.error = f"no audio of {PHONE}"
    mine.recording.save()
    make.CallFactory(connection=mine.connection, client_phone=PHONE, outcome="missed", started_at=timezone.now())
    make.MissedNoteFactory(call=make.CallFactory(connection=mine.connection, outcome="missed"), words=f"he is {PHONE}")
    make.ExportFactory(company=mine.company, filter={"q": PHONE}, numbers_hidden=True)
    make.ExportFactory(company=mine.company, filter={"q": PHONE})
    return mine


SHOWN = [
    pytest.param(page, role, id=f"{page.name}-{role}")
    for page in pages()
    for role in HIDDEN_FROM
    if page.right in RIGHTS[role] and not page.posts and page.name not in ("recording", "export_file")
]


@pytest.mark.parametrize(("page", "role"), SHOWN)
def test_no_page_holds_it(page: Any, role: str, known: World, signed_in: Callable[..., Client]) -> None:
    client = signed_in(known.company, role)
    for headers in ({}, {"X-Part": "1"}):
        text = body(client.get(address(page, known), headers=headers))
        assert NATIONAL not in without_anything_between(text)


@pytest.mark.parametrize("role", HIDDEN_FROM)
def test_nor_do_their_variants(role: str, known: World, signed_in: Callable[..., Client]) -> None:
    client = signed_in(known.company, role)
    client.post("/calls/columns/", {"columns": [column.key for column in COLUMNS if column.key != "time"]})
    wheres = [
        "/calls/",
        "/calls/?crm=problem",
        "/missed/?show=closed",
        reverse("portal:unwritten_calls", args=[known.credential.uuid]),
        *(f"/reports/?show={show}" for show in dict(REPORTS)),
        *(f"/reports/file/?show={show}&format=csv" for show in dict(REPORTS)),
    ]
    for where in wheres:
        said = client.get(where)
        assert said.status_code == 200
        assert NATIONAL not in without_anything_between(body(said)), where


def test_whoever_manages_sees_it_whole(known: World, signed_in: Callable[..., Client]) -> None:
    for role in (Role.OWNER, Role.ADMINISTRATOR):
        client = signed_in(known.company, role)
        for where in ("/calls/", "/missed/", "/clients/", reverse("portal:call", args=[known.call.uuid])):
            assert "+7 926 111-22-33" in body(client.get(where))


def test_he_sees_stars_and_why_the_rest_is_missing(known: World, signed_in: Callable[..., Client]) -> None:
    client = signed_in(known.company, Role.OPERATOR, "en")
    assert "+7 926 ***-**-33" in body(client.get("/calls/"))
    passport = body(client.get(reverse("portal:call", args=[known.call.uuid])))
    assert "they are hidden from your role" in passport
    assert "What the PBX sent" not in passport


# --- Calling and finding


def test_he_calls_all_the_same(known: World, signed_in: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> None:
    from telephony import commands

    asked: list[str] = []
    monkeypatch.setattr(commands, "dial", lambda connection, **said: asked.append(said["phone"]))
    client = signed_in(known.company, Role.OPERATOR)
    chosen = body(client.post("/dial/", {"call": known.call.uuid, "next": "/calls/"}))
    assert NATIONAL not in without_anything_between(chosen)
    done = client.post("/dial/", {"call": known.call.uuid, "extension": "101", "next": "/calls/"}, follow=True)
    assert NATIONAL not in without_anything_between(body(done))
    assert asked == [PHONE]


@pytest.mark.parametrize(
    ("text", "finds"),
    [
        (PHONE, True),
        ("8 926 111-22-33", True),
        ("9261112233", True),
        ("926111223", False),
        ("1112233", False),
        ("2233", False),
        ("Anna", True),
        ("Anna +7 9", True),
        ("Anna +7 926 1", False),
        ("8 (926) 111-22-33 Ltd", False),
    ],
)
def test_only_a_whole_number_is_found(known: World, signed_in: Callable[..., Client], text: str, finds: bool) -> None:
    client = signed_in(known.company, Role.OPERATOR)
    for where in ("/calls/", "/missed/"):
        found = body(client.get(where, {"q": text}, headers={"X-Part": "1"}))
        assert ("<tbody>" in found) == finds


# --- Files


def written(world: World, look: Look) -> Export:
    with phones.shown(look):
        asked = CrmJournalFilter(world.company, {})
        export = exports.ask(asked, world.member.user, "csv", [column.key for column in COLUMNS])
    exports.work(export.pk)
    export.refresh_from_db()
    return export


def test_a_file_holds_what_its_asker_may_see(known: World, signed_in: Callable[..., Client]) -> None:
    secret, whole = written(known, Look(hidden=True)), written(known, Look())
    for export, holds in ((secret, False), (whole, True)):
        with export.file.open("rb") as file:
            rows = list(csv.reader(io.StringIO(file.read().decode("utf-8-sig")), delimiter=";"))
        assert any(NATIONAL in without_anything_between(cell) for row in rows for cell in row) == holds
    for role, sees in ((Role.OPERATOR, 404), (Role.OWNER, 200)):
        client = signed_in(known.company, role)
        where = reverse("portal:export_file", args=[whole.uuid])
        assert client.get(where).status_code == sees
        assert (where in body(client.get("/exports/"))) == (sees == 200)
        assert client.get(reverse("portal:export_file", args=[secret.uuid])).status_code == 200


def test_files_are_in_the_companys_style(known: World) -> None:
    known.company.number_style = Style.DIGITS
    known.company.save()
    with written(known, Look()).file.open("rb") as file:
        assert "79261112233" in file.read().decode()


# --- The setting


def test_it_is_set_with_a_sample(mine: World, signed_in: Callable[..., Client]) -> None:
    client = signed_in(mine.company, Role.ADMINISTRATOR, "en")
    text = body(client.get("/masks/"))
    assert "79123456789 · digits only" in text
    assert "8 (912) 345-67-89 · national" in text
    assert "+7 912 ***-**-89" in text
    client.post("/masks/", {"number_style": "digits", "hidden_from_operators": "on"})
    mine.company.refresh_from_db()
    assert (mine.company.number_style, mine.company.hidden_from_operators) == ("digits", True)
    assert not mine.company.hidden_from_read_only
    assert body(client.post("/masks/", {"number_style": "nonsense"})).count("cb-error") == 1


def test_another_companys_rule_is_not_ours(mine: World, theirs: World, signed_in: Callable[..., Client]) -> None:
    theirs.company.hidden_from_operators = True
    theirs.company.save()
    client = signed_in(mine.company, Role.OPERATOR)
    assert phones.pretty(mine.call.client_phone) in body(client.get("/calls/"))


def test_support_sees_numbers_whole(known: World) -> None:
    person = make.MembershipFactory(company=known.company, role=Role.OPERATOR, user__is_staff=True)
    client = Client()
    client.force_login(person.user)
    assert "+7 926 111-22-33" in body(client.get(reverse("support:call", args=[known.call.uuid])))
