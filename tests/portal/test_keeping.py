"""The portal tells how long data is kept, what was deleted, and lets links be revoked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from employees.models import Role
from telephony import keeping, recordings
from telephony.models import Recording
from telephony.signals import calls_changed
from tests import factories as make
from tests.portal.conftest import World

CHOSEN = {"recordings_kept_days": "90", "events_kept_days": "30", "exchanges_kept_days": "365"}


@pytest.fixture
def browser(mine: World, signed_in: Callable[..., Client]) -> Client:
    return signed_in(mine.company, language="en")


def page(client: Client, world: World) -> str:
    return client.get(reverse("portal:call", args=[world.call.uuid])).content.decode()


def press(client: Client, name: str, world: World) -> Any:
    return client.post(reverse(f"portal:{name}", args=[world.call.uuid, world.recording.uuid]), follow=True)


def opens(link: str) -> bool:
    return Client().get("/" + link.split("/", 3)[3]).status_code == 200


# --- The rule


def test_a_company_chooses_for_itself_alone(mine: World, theirs: World, browser: Client) -> None:
    browser.post(reverse("portal:keeping"), CHOSEN)
    mine.company.refresh_from_db()
    theirs.company.refresh_from_db()
    assert (mine.company.recordings_kept_days, mine.company.events_kept_days) == (90, 30)
    assert theirs.company.recordings_kept_days is None
    browser.post(reverse("portal:keeping"), {**CHOSEN, "recordings_kept_days": ""})
    mine.company.refresh_from_db()
    assert mine.company.recordings_kept_days is None


@pytest.mark.parametrize("name", ["events_kept_days", "exchanges_kept_days"])
@pytest.mark.parametrize("value", ["", "1", "-30", "100000"])
def test_what_must_not_grow_for_ever_does_not(mine: World, browser: Client, name: str, value: str) -> None:
    assert browser.post(reverse("portal:keeping"), {**CHOSEN, name: value}).status_code == 200
    before = mine.company.recordings_kept_days
    mine.company.refresh_from_db()
    assert mine.company.recordings_kept_days == before


def test_an_operator_changes_no_rule(mine: World, signed_in: Callable[..., Client]) -> None:
    assert signed_in(mine.company, Role.OPERATOR).post(reverse("portal:keeping"), CHOSEN).status_code == 403


# --- The passport stays true


def test_the_passport_says_what_was_deleted_and_when(mine: World, browser: Client) -> None:
    long_ago = timezone.now() - timedelta(days=400)
    make.InboxEventFactory(connection=mine.connection, call=mine.call, received_at=long_ago, path="events/summary")
    make.ExchangeFactory(company=mine.company, account=mine.credential.uuid, call=mine.call, at=long_ago)
    Recording.objects.update(stored_at=long_ago)
    mine.company.recordings_kept_days = 90
    mine.company.save()
    assert "was deleted on" not in page(browser, mine)
    keeping.delete_old()
    text = page(browser, mine)
    day = timezone.localtime(timezone=ZoneInfo(mine.company.time_zone)).strftime("%d.%m.%Y")
    assert f"What the PBX sent about this call was deleted on {day}" in text
    assert f"Requests about this call and their answers were deleted from {day} on" in text
    assert f"Deleted by the company&#x27;s rule · {day}" in text
    assert "Deleted, see above." in text
    assert "events/summary" not in text
    assert reverse("portal:recording_request", args=[mine.call.uuid, mine.recording.uuid]) not in text
    assert "mine employee (101) answered" in text


def test_the_passport_says_that_a_file_is_lost(mine: World, browser: Client) -> None:
    assert "has lost the file" not in page(browser, mine)
    mine.recording.file.storage.delete(mine.recording.file.name)
    assert "has lost the file" in page(browser, mine)


def test_the_passport_says_that_the_storage_refuses(mine: World, browser: Client) -> None:
    Recording.objects.update(state="ready", file="", waits_for_storage=True, error="No space left on device")
    text = page(browser, mine)
    assert "The storage does not take it" in text
    assert "No space left on device" in text


# --- Asked for again


@pytest.mark.parametrize("state", ["stored", "failed", "absent", "announced"])
def test_a_recording_is_asked_for_again(mine: World, browser: Client, state: str) -> None:
    Recording.objects.update(state=state)
    assert "It appears here as soon as" in press(browser, "recording_request", mine).content.decode()
    mine.recording.refresh_from_db()
    assert mine.recording.due_at


def test_what_the_rule_deleted_is_not_asked_for_again(mine: World, browser: Client) -> None:
    Recording.objects.update(state="deleted", file="")
    assert "is not asked for again" in press(browser, "recording_request", mine).content.decode()
    mine.recording.refresh_from_db()
    assert (mine.recording.state, mine.recording.due_at) == ("deleted", None)


# --- Links


def test_links_are_revoked_and_the_passport_says_by_whom(mine: World, browser: Client) -> None:
    told: list[Any] = []

    def listen(calls: list[Any], **_: Any) -> None:
        told.extend(calls)

    before = recordings.link(mine.recording)
    assert opens(before)
    calls_changed.connect(listen)
    press(browser, "recording_revoke", mine)
    calls_changed.disconnect(listen)
    mine.recording.refresh_from_db()
    assert not opens(before)
    assert opens(recordings.link(mine.recording))
    assert told == [mine.call]  # so that a CRM that keeps the link is given the new one
    assert "revoked the links to the recording" in page(browser, mine)


def test_a_crm_that_stored_a_copy_is_left_alone(mine: World, browser: Client) -> None:
    """Bitrix24 has fetched the file: a new link is nothing to it."""
    mine.sync.progress = {
        "call": "c",
        "shown": [],
        "finished": True,
        "record": 7,
        "recorded": mine.recording.file.name.rsplit("/", 1)[-1],
    }
    mine.sync.save()
    press(browser, "recording_revoke", mine)
    mine.sync.refresh_from_db()
    assert mine.sync.wanted == mine.sync.noted


def test_an_operator_revokes_nothing(mine: World, signed_in: Callable[..., Client]) -> None:
    operator = signed_in(mine.company, Role.OPERATOR, language="en")
    assert "Revoke the links" not in page(operator, mine)
    assert press(operator, "recording_revoke", mine).status_code == 403
    assert opens(recordings.link(mine.recording))
