"""The pages of test calls: what they offer, what they show, and that they change nothing unless told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from integrations.models import CallSync, Integration
from telephony.models import Call, Connection
from tests import factories as make
from tests.portal.conftest import World


def sent(mine: World, **changes: Any) -> dict[str, Any]:
    return {
        "kind": "in_answered",
        "line": f"{mine.connection.uuid}|{mine.number.number}",
        "extension": "101",
        "phone": "+75000001234",
        **changes,
    }


@pytest.fixture
def english(mine: World, signed_in: Callable[..., Client]) -> Client:
    return signed_in(mine.company, language="en")


def played() -> list[Call]:
    return list(Call.objects.filter(source="trial"))


def test_looking_writes_nothing(mine: World, english: Client) -> None:
    text = english.post("/trial/", sent(mine, look="")).content.decode()
    assert "would be written" in text
    assert "The call was registered" in text
    assert "+75000001234" in text
    assert not played()


def test_playing_begins_a_call_and_shows_its_course(mine: World, english: Client) -> None:
    response = english.post("/trial/", sent(mine, play="", recorded="on"))
    (call,) = played()
    assert response["Location"] == reverse("portal:trial_call", args=[call.uuid])
    assert (call.client_phone, call.state) == ("+75000001234", "ringing")
    assert call.syncs.get().state == CallSync.State.WANTED
    page = english.get(response["Location"]).content.decode()
    assert "data-live" in page
    part = english.get(response["Location"], headers={"x-part": "1"}).content.decode()
    assert "<html" not in part
    assert "101): ringing" in part


def test_it_is_marked_wherever_it_is_seen(mine: World, english: Client) -> None:
    english.post("/trial/", sent(mine, play=""))
    (call,) = played()
    for where in ("/calls/", reverse("portal:call", args=[call.uuid]), "/trial/"):
        assert "test call" in english.get(where).content.decode().lower(), where
    overview = english.get("/").content.decode()
    assert "<b>1</b>all" in overview  # of the day's calls only the real one is counted


def test_a_number_that_is_none_is_said_beside_its_field(mine: World, english: Client) -> None:
    text = english.post("/trial/", sent(mine, phone="nobody", play="")).content.decode()
    assert "is not a phone number" in text
    assert not played()


def test_a_line_of_others_is_no_choice(mine: World, theirs: World, english: Client) -> None:
    line = f"{theirs.connection.uuid}|{theirs.number.number}"
    assert english.post("/trial/", sent(mine, line=line, play="")).status_code == 200
    assert not played()


def test_without_a_pbx_it_leads_to_one(mine: World, english: Client) -> None:
    Connection.objects.update(active=False)
    assert "Connect a PBX first" in english.get("/trial/").content.decode()


def test_the_line_of_the_integration_comes_first(mine: World, english: Client) -> None:
    other = make.ConnectionFactory(company=mine.company, name="A first one")
    row = make.IntegrationFactory(credential=mine.credential, connections=[other])
    page = english.get(f"/trial/?integration={row.uuid}").context["form"]
    assert page.fields["line"].choices[0][1] == "A first one"
    assert english.get("/trial/?integration=nothing").status_code == 200


def test_why_nobody_wants_it_is_said(mine: World, english: Client) -> None:
    Integration.objects.update(active=False)
    text = english.post("/trial/", sent(mine, look="")).content.decode()
    assert "No CRM would get this call." in text
    assert "It is switched off." in text


def test_an_unknown_extension_is_decided_on_the_spot(mine: World, english: Client) -> None:
    """The verdict is the one that a real call would get, and so is the way out of it."""
    assert "Waits for your decision" in english.post("/trial/", sent(mine, extension="105", look="")).content.decode()
    english.post("/trial/", sent(mine, extension="105", play=""))
    (call,) = played()
    page = english.get(reverse("portal:trial_call", args=[call.uuid])).content.decode()
    assert mine.employee.name in page
    decided = {"number": "105", "choice": "employee", "employee": str(mine.employee.uuid), "write": "1"}
    english.post(reverse("portal:call_extension", args=[call.uuid]), decided)
    assert call.syncs.get().state == CallSync.State.WANTED


def test_it_is_cleaned_up_and_deleted(mine: World, english: Client) -> None:
    call = make.CallFactory(connection=mine.connection, source="trial")
    notes = {"call": "c1", "finished": True, "activity": 7, "created": [["LEAD", 5]]}
    row = make.CallSyncFactory(call=call, integration=mine.integration, progress=notes)
    page = english.get(reverse("portal:trial_call", args=[call.uuid])).content.decode()
    assert "/crm/lead/details/5/" in page
    # No vendor answers here: what cannot be removed now is said, and stays listed.
    cleaned = english.post(reverse("portal:trial_clean", args=[call.uuid]), follow=True).content.decode()
    assert "no vendor in this test" in cleaned
    assert "Lead 5" in cleaned
    row.refresh_from_db()
    assert row.reason == "cleaned"
    english.post(reverse("portal:trial_delete", args=[call.uuid]))
    assert not played()
    assert Call.objects.filter(pk=mine.call.pk).exists()


def test_a_real_call_is_no_test_call(mine: World, english: Client) -> None:
    for page in ("trial_call", "trial_clean", "trial_delete"):
        ask = english.get if page == "trial_call" else english.post
        assert ask(reverse(f"portal:{page}", args=[mine.call.uuid])).status_code == 404
