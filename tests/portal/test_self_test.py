"""The page on which somebody teaches a PBX our protocol: how it guides, what it refuses, and what it remembers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from django.db import connection as database
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from telephony import webhooks
from telephony.models import Connection
from telephony.providers.base import Request
from tests import factories as make
from tests.emulators.open_api import ITS_KEY, OUR_KEY, Emulator, wire
from tests.emulators.pbx import SCENARIOS
from tests.emulators.served import Told, Wire
from tests.portal.conftest import World


@pytest.fixture(autouse=True)
def silent_vendors() -> None:
    """Here one is spoken to: the emulated PBX."""


@pytest.fixture
def pbx() -> Iterator[Emulator]:
    emulator = Emulator(knock)
    with emulator.serving():
        yield emulator


def knock(told: Wire) -> Told:
    row = Connection.objects.get(provider="open_api")
    request = Request("POST", told.path, told.body, told.query, told.headers, "192.0.2.1")
    return Told(webhooks.receive(row.protocol, row.address.token, request).status)


@pytest.fixture
def taught(mine: World, pbx: Emulator) -> Connection:
    return make.ConnectionFactory.create(
        company=mine.company, provider="open_api", brand="azerizone", name="Taught", credentials=pbx.secrets
    )


@pytest.fixture
def english(mine: World, signed_in: Callable[..., Client]) -> Client:
    return signed_in(mine.company, language="en")


def page(client: Client, row: Connection, part: bool = False) -> str:
    headers = {"X-Part": "1"} if part else {}
    response = client.get(reverse("portal:self_test", args=[row.uuid]), headers=headers)
    assert response.status_code == 200
    return response.content.decode()


def post(client: Client, row: Connection, what: str, **fields: str) -> str:
    response = client.post(reverse(f"portal:self_test_{what}", args=[row.uuid]), fields, follow=True)
    assert response.status_code == 200
    return response.content.decode()


def play(pbx: Emulator, name: str) -> None:
    pbx.play(replace(next(each for each in SCENARIOS if each.name == name), seconds=2))


def test_the_whole_way(english: Client, taught: Connection, pbx: Emulator) -> None:
    text = page(english, taught)
    assert taught.address.url in text
    assert "What is to come" in text
    play(pbx, "answered")
    post(english, taught, "begin")
    assert "Nothing yet." in page(english, taught, part=True)  # what came before it began is not of the test
    for name in ("answered and recorded", "missed", "outgoing"):
        play(pbx, name)
    text = page(english, taught, part=True)
    assert "<html" not in text
    assert "Everything that calls need has come" in text
    assert "[+] An incoming call rings" in text
    assert "[ ] The PBX asks who calls" in text
    for secret in (OUR_KEY, ITS_KEY):
        assert secret not in text


def test_what_is_wrong_is_said_where_it_is_awaited(english: Client, taught: Connection, pbx: Emulator) -> None:
    post(english, taught, "begin")
    pbx.tell(wire({"cmd": "event", "type": "in", "event": "INCOMING", "phone": "79000000001", "callid": "c1"}))
    text = page(english, taught, part=True)
    assert text.count("ext is missing: nobody knows whose phone it is.") == 4  # step, event, verdict and its copy
    assert "Everything that calls need has come" not in text
    assert "Still to come:" in text


def test_commands_are_played_and_shown(english: Client, taught: Connection, pbx: Emulator) -> None:
    post(english, taught, "begin")
    text = post(english, taught, "dial", extension="101", phone="+7 900 000-00-09")
    assert "The PBX has taken the command." in text
    assert "No event of this call has come yet." in text
    assert "makeCall" in text
    assert ITS_KEY not in text
    pbx.redial("101", "+79000000009")
    assert "Events of this call came." in page(english, taught, part=True)
    assert "1 call of the last hour is listed." in post(english, taught, "history")
    text = post(english, taught, "dial", extension="999", phone="+79000000009")
    assert "Invalid parameters" in text
    assert "The PBX has taken the command." not in text


def test_a_number_that_is_none_is_not_dialled(english: Client, taught: Connection, pbx: Emulator) -> None:
    post(english, taught, "begin")
    assert "This is not a phone number." in post(english, taught, "dial", extension="101", phone="nobody")
    assert pbx.dialled == []


def test_what_a_crm_would_get_is_not_begun(english: Client, mine: World, taught: Connection) -> None:
    integration = make.IntegrationFactory.create(credential=mine.credential, connections=[taught], active=True)
    assert "would write them into the CRM" in page(english, taught)
    assert "Not begun" in post(english, taught, "begin")
    assert "What is to come" in page(english, taught)
    integration.active = False
    integration.save()
    assert "No CRM gets them" in page(english, taught)
    assert "Nothing yet." in post(english, taught, "begin")


def test_a_connection_that_cannot_dial_has_no_button(english: Client, taught: Connection) -> None:
    taught.credentials = {"our_key": OUR_KEY}
    taught.save()
    text = post(english, taught, "begin")
    assert "Have the PBX dial" not in text
    assert "Not asked for" in text


def test_two_people_test_apart(taught: Connection, mine: World, signed_in: Callable[..., Client]) -> None:
    one, other = (signed_in(mine.company, language="en") for _person in range(2))
    post(one, taught, "begin")
    assert "What is to come" in page(other, taught)


def test_only_protocols_that_are_taught_have_it(owner: Client, mine: World, english: Client) -> None:
    assert owner.get(reverse("portal:self_test", args=[mine.connection.uuid])).status_code == 404
    assert "self-test" not in owner.get(reverse("portal:connection", args=[mine.connection.uuid])).content.decode()


def test_the_way_leads_there(english: Client, taught: Connection) -> None:
    text = english.get(reverse("portal:connection", args=[taught.uuid])).content.decode()
    assert reverse("portal:self_test", args=[taught.uuid]) in text
    text = english.get(reverse("portal:connection_catalogue")).content.decode()
    assert "Then it can be taught to work with us" in text


def test_many_calls_cost_no_more_questions_than_one(english: Client, taught: Connection, pbx: Emulator) -> None:
    def asked() -> int:
        with CaptureQueriesContext(database) as queries:
            page(english, taught, part=True)
        return len(queries)

    post(english, taught, "begin")
    play(pbx, "missed")
    page(english, taught, part=True)
    one = asked()
    for _call in range(5):
        play(pbx, "missed")
    assert asked() == one
