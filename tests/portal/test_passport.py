"""The passport: everything that happened with a call, why it is or is not in a CRM, and no secret."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation

from crm_adapters.base import Said
from employees.models import Role
from integrations import passport
from integrations.models import CallSync, Credential
from outbound.errors import DeadlineExceeded
from telephony.passport import mask_fields
from tests import factories as make
from tests.portal.conftest import World


def page(client: Client, call: object) -> str:
    response = client.get(reverse("portal:call", args=[call.uuid]))  # type: ignore[attr-defined]
    assert response.status_code == 200
    return response.content.decode()


@pytest.fixture(autouse=True)
def english() -> object:
    with translation.override("en"):
        yield


def test_it_tells_what_happened(mine: World, signed_in: Callable[..., Client]) -> None:
    details = {"client": "Anna", "manager": "7"}
    make.DecisionFactory(call=mine.call, code="manager_not_mapped", details=details, milliseconds=41)
    make.InboxEventFactory(connection=mine.connection, call=mine.call, path="events/summary")
    make.ExchangeFactory(company=mine.company, account=mine.credential.uuid, call=mine.call, purpose="register")
    mine.sync.history = [{"at": timezone.now().isoformat(), "step": "register", "words": "CALL_ID 17"}]
    mine.sync.save()
    text = page(signed_in(mine.company, language="en"), mine.call)
    for words in (
        "mine employee (101) answered",
        "The manager of Anna (user 7 in the CRM) is not mapped to an employee.",
        "after 41 ms",
        "events/summary",
        "sender proven",
        "The call was registered: CALL_ID 17",
        "telephony.externalcall.register",
        "Everything is written.",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("language", "ours", "error"),
    [
        ("en", "created nothing: no rights; LEAD:7", "no answer in time"),
        ("ru", "ничего не создал: no rights; LEAD:7", "нет ответа вовремя"),
    ],
)
def test_its_words_are_in_the_readers_language(
    mine: World, signed_in: Callable[..., Client], language: str, ours: str, error: str
) -> None:
    """Ours are translated when they are read; the CRM's own stay as they came."""
    words = (Said("Bitrix24 created nothing: %(words)s", {"words": "no rights"}), "LEAD:7")
    mine.sync.history = [
        {"at": timezone.now().isoformat(), "step": "register", "words": words},
        {"at": timezone.now().isoformat(), "step": "finish", "words": "kept as it was"},
    ]
    lost = DeadlineExceeded("no answer in time", code="timeout")
    mine.sync.noted, mine.sync.error_kind, mine.sync.cause = 0, lost.kind, lost.cause
    mine.sync.error = f"{lost.code} {lost.words}"
    mine.sync.save()
    text = page(signed_in(mine.company, language=language), mine.call)
    for told in (ours, error, "kept as it was"):
        assert told in text


def test_secrets_are_masked(mine: World, signed_in: Callable[..., Client]) -> None:
    secret = mine.connection.credentials["api_key"]
    body = urlencode(
        {"vpbx_api_key": secret, "sign": "a1b2c3d4" * 8, "json": json.dumps({"entry_id": "e", "note": secret})}
    )
    make.InboxEventFactory(connection=mine.connection, call=mine.call, body=body.encode())
    broken = b"broken &sign=a1b2c3d4&vpbx_api_key=" + secret.encode()
    make.InboxEventFactory(connection=mine.connection, call=mine.call, body=broken)
    client = signed_in(mine.company, language="en")
    form = client.get(reverse("portal:connection", args=[mine.connection.uuid])).content.decode()
    for text in (page(client, mine.call), form):
        assert secret not in text
        assert "a1b2c3d4" not in text
        assert mine.connection.credentials["api_salt"] not in text


def test_fields_are_masked_by_name() -> None:
    text = mask_fields('{"pin": "1234", "n": 1, "Pin": 77} pin=99&x=1', ["pin"])
    assert "1234" not in text
    assert "77" not in text
    assert "99" not in text
    assert '"n": 1' in text
    assert "x=1" in text


@pytest.mark.parametrize(
    ("changes", "code", "words", "after"),
    [
        ({}, "written", "", "Everything is written."),
        ({"state": "skipped", "reason": "internal_call"}, "skipped", "internal call", "Nothing more"),
        (
            {"state": "waiting", "reason": "unknown_extension", "details": {"extensions": ["105"]}},
            "waiting",
            "extension 105",
            "as soon as you decide",
        ),
        (
            {"parked": True, "error": "no such user", "error_kind": "rejected"},
            "parked",
            "refused for good (no such user)",
            "retry",
        ),
        ({"noted": 0, "error": "503", "error_kind": "temporary"}, "failing", "cannot be reached (503)", "its turn"),
        ({"noted": 0}, "writing", "", "its turn"),
        ({"wanted": 0, "noted": 0}, "nothing", "", "Everything"),
    ],
)
def test_standings(mine: World, changes: dict[str, object], code: str, words: str, after: str) -> None:
    for name, value in changes.items():
        setattr(mine.sync, name, value)
    standing = passport.standing(mine.sync)
    assert standing.code == code
    assert words in standing.words
    assert after in passport.what_next(mine.call, mine.sync)


def test_what_comes_next_has_a_time(mine: World) -> None:
    now = timezone.now()
    mine.sync.noted, mine.sync.attempts, mine.sync.not_before = 0, 3, now + timedelta(minutes=1)
    assert "tries so far: 3" in passport.what_next(mine.call, mine.sync, now)
    mine.sync.lease_until = now + timedelta(seconds=9)
    assert "under way" in passport.what_next(mine.call, mine.sync, now)


def test_a_late_recording_is_waited_for(mine: World) -> None:
    make.RecordingFactory(call=mine.call)
    assert "Waits for the recording" in passport.what_next(mine.call, mine.sync)


def test_refused_keys_are_told(mine: World) -> None:
    mine.sync.noted = 0
    mine.sync.credential.state, mine.sync.credential.state_words = Credential.State.REFUSED, "expired"
    assert passport.standing(mine.sync).code == "paused"
    assert "connected again" in passport.what_next(mine.call, mine.sync)


def test_why_there_was_no_card(mine: World) -> None:
    """Each integration that did nothing says why."""
    CallSync.objects.all().delete()
    elsewhere = make.ConnectionFactory(company=mine.company, name="elsewhere")
    expected = {
        make.IntegrationFactory(credential__company=mine.company, active=False): "switched off",
        make.IntegrationFactory(credential__company=mine.company, connections=[elsewhere]): "elsewhere",
        make.IntegrationFactory(
            credential__company=mine.company, connections=[mine.connection], filter_numbers=True
        ): mine.call.virtual_number,
        mine.integration: "when the call came",
    }
    told = {row.integration: row.why for row in passport.compose(mine.call).bystanders}
    assert told.keys() == expected.keys()
    for integration, words in expected.items():
        assert words in told[integration]


def test_an_account_is_written_once(mine: World) -> None:
    twin = make.IntegrationFactory(credential=mine.credential, connections=[mine.connection])
    told = {row.integration: row.why for row in passport.compose(mine.call).bystanders}
    assert "same CRM account" in told[twin]


def test_without_any_integration(mine: World, signed_in: Callable[..., Client]) -> None:
    mine.sync.delete()
    mine.integration.delete()
    assert "there is no integration yet" in page(signed_in(mine.company, language="en"), mine.call)


def test_buttons_are_for_those_who_may(mine: World, signed_in: Callable[..., Client]) -> None:
    mine.sync.parked, mine.sync.error = True, "no"
    mine.sync.save()
    mine.call.state, mine.call.outcome, mine.call.live_leg = "answered", "", "leg"
    mine.call.save()
    make.RecordingFactory(call=mine.call, state="failed")
    hangup, retry = reverse("portal:hangup", args=[mine.call.uuid]), reverse("portal:call_retry", args=[mine.call.uuid])
    seen = {role: page(signed_in(mine.company, role), mine.call) for role in Role.values}
    assert all(hangup in seen[role] for role in ("owner", "administrator", "operator"))
    assert hangup not in seen["read_only"]
    assert retry in seen["owner"]
    assert retry not in seen["operator"]
    assert "Запросить запись" in seen["operator"]
    assert "Запросить запись" not in seen["read_only"]


def test_support_reads_it_too(mine: World) -> None:
    mine.sync.progress = {"call": "externalCall.7"}
    mine.sync.save()
    client = Client()
    client.force_login(make.UserFactory(is_staff=True))
    response = client.get(reverse("support:call", args=[mine.call.uuid]))
    assert response.status_code == 200
    assert "externalCall.7" in response.content.decode()


def test_retry_puts_a_parked_call_back(mine: World, owner: Client) -> None:
    mine.sync.parked, mine.sync.error, mine.sync.error_kind = True, "no", "rejected"
    mine.sync.save()
    owner.post(reverse("portal:call_retry", args=[mine.call.uuid]), {"sync": str(mine.sync.pk)})
    mine.sync.refresh_from_db()
    assert not mine.sync.parked
    assert not mine.sync.error
