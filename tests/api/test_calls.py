"""Calls, recordings and events by program."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from employees.api import keys
from employees.models import ApiKey
from telephony import inbox, live, recordings
from telephony.api.events import Program as Listening
from telephony.feed import SETTLED
from telephony.hot import hot_write, lock_drain
from telephony.models import Call, CallGone, Recording
from tests import factories as make
from tests.portal.conftest import AUDIO, World

SOON = SETTLED + timedelta(seconds=1)


def test_a_call_is_told_whole(program: Any, mine: World) -> None:
    told = program.get(f"calls/{mine.call.uuid}").json()
    assert told["client_phone"] == mine.client_phone.phone
    assert (told["client"], told["client_name"]) == (str(mine.client.uuid), "mine client")
    assert (told["employee"], told["connection"]) == (str(mine.employee.uuid), str(mine.connection.uuid))
    assert [row["employee"] for row in told["participants"]] == [str(mine.employee.uuid)]
    assert [(row["uuid"], row["state"]) for row in told["recordings"]] == [(str(mine.recording.uuid), "stored")]
    assert told["started_at"].endswith("Z")


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("", {"stored", "missed", "live"}),
        ("since={hour_ago}", {"stored", "live"}),
        ("until={hour_ago}", {"missed"}),
        ("direction=out", {"live"}),
        ("outcome=missed", {"missed"}),
        ("state=ringing", {"live"}),
        ("employee={employee}", {"stored"}),
        ("connection={connection}", {"stored", "missed", "live"}),
        ("line=%2B74950000009", {"missed"}),
        ("recording=true", {"stored"}),
        ("recording=false", {"missed", "live"}),
        ("q=8 926 000-00-07", {"live"}),
        ("q=mine client", {"stored"}),
    ],
)
def test_calls_are_narrowed(program: Any, mine: World, asked: str, found: set[str]) -> None:
    past = timezone.now() - timedelta(hours=2)
    missed = make.CallFactory(
        connection=mine.connection, outcome="missed", started_at=past, virtual_number="+74950000009"
    )
    ringing = make.CallFactory(
        connection=mine.connection, direction="out", state="ringing", client_phone="+79260000007"
    )
    names = {str(mine.call.uuid): "stored", str(missed.uuid): "missed", str(ringing.uuid): "live"}
    places = {"employee": mine.employee.uuid, "connection": mine.connection.uuid}
    hour_ago = (timezone.now() - timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    answer = program.get("calls?" + asked.format(hour_ago=hour_ago, **places))
    assert {names[row["uuid"]] for row in answer.json()["results"]} == found


def test_pages_go_down_the_index_of_the_journal(program: Any, mine: World) -> None:
    """However many calls there are: a page is read where the one before ended, and nothing is sorted."""
    for minutes in range(5):
        make.CallFactory(connection=mine.connection, started_at=timezone.now() - timedelta(minutes=minutes))
    path, seen, plans = "calls?page_size=2", [], []
    while path:
        with CaptureQueriesContext(connection) as queries:
            page = program.get(path).json()
        seen += [row["started_at"] for row in page["results"]]
        plans += [plan(each["sql"]) for each in queries if ' FROM "telephony_call" ' in each["sql"]]
        path = page["next"] and page["next"].split("/api/v1/")[1]
    assert len(seen) == 6
    assert seen == sorted(seen, reverse=True)
    assert len(plans) == 3
    if connection.vendor == "sqlite":  # PostgreSQL reads so few rows whole
        assert all("USING INDEX call_journal" in each and "TEMP B-TREE" not in each for each in plans), plans


def plan(sql: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {'QUERY PLAN ' if connection.vendor == 'sqlite' else ''}{sql}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())


def test_lists_of_calls_ask_the_database_as_often_for_many_as_for_one(program: Any, mine: World) -> None:
    def asked() -> list[int]:
        counts = []
        for path in (
            "calls",
            "calls/changes",
            "missed",
            "planned",
            "comments",
            "commands",
            f"recordings?call={mine.call.uuid}",
        ):
            with CaptureQueriesContext(connection) as queries, time_machine.travel(timezone.now() + SOON):
                assert program.get(path).json()["results" if "recordings" not in path else 0] != []
            counts.append(len(queries))
        return counts

    def rows() -> None:
        client = make.ClientFactory(company=mine.company)
        call: Any = make.CallFactory(connection=mine.connection, client=client, employee=mine.employee)
        make.ParticipantFactory(call=call, employee=mine.employee)
        make.RecordingFactory(call=call)
        make.RecordingFactory(call=mine.call)
        make.CallFactory(connection=mine.connection, outcome="missed")
        make.CommandFactory(connection=mine.connection)
        make.CommentFactory(company=mine.company, call=call.uuid, author=mine.member.user)
        make.PlannedCallFactory(company=mine.company, employee=mine.employee)

    rows()
    asked()  # the first one notes that the key is used
    few = asked()
    for _ in range(5):
        rows()
    assert asked() == few


# --- What has changed


def changes(program: Any, after: str = "", **more: int) -> dict[str, Any]:
    given = {"after": after} | {name: str(value) for name, value in more.items()} if after else more
    query = "&".join(f"{name}={value}" for name, value in given.items())
    with time_machine.travel(timezone.now() + SOON):
        return program.get(f"calls/changes?{query}").json()


def test_a_mirror_is_told_everything_once_and_again_when_it_changes(program: Any, mine: World) -> None:
    other = make.CallFactory(connection=mine.connection)
    first = changes(program, limit=1)
    assert [row["uuid"] for row in first["results"]] == [str(mine.call.uuid)]
    assert first["more"]
    second = changes(program, first["next"])
    assert [row["call"]["uuid"] for row in second["results"]] == [str(other.uuid)]
    assert not second["more"]
    nothing = changes(program, second["next"])
    assert (nothing["results"], nothing["next"]) == ([], second["next"])
    with hot_write():
        lock_drain()
        inbox.announce([mine.call.pk])
    again = changes(program, nothing["next"])
    assert [(row["uuid"], row["call"]["version"]) for row in again["results"]] == [(str(mine.call.uuid), 2)]


def test_a_call_that_became_part_of_another_is_told_as_gone(program: Any, mine: World) -> None:
    place = changes(program)["next"]
    gone = CallGone.objects.create(company=mine.company, uuid=mine.recording.uuid, into=mine.call.uuid)
    (row,) = changes(program, place)["results"]
    assert (row["gone"], row["uuid"], row["into"], row["call"]) == (True, str(gone.uuid), str(mine.call.uuid), None)


def test_a_place_that_is_none_is_refused(program: Any) -> None:
    assert program.get("calls/changes?after=yesterday").json()["code"] == "cursor_invalid"


# --- Recordings


def test_a_recording_is_played_in_parts(program: Any, mine: World) -> None:
    whole = program.get(f"recordings/{mine.recording.uuid}/audio", accept="audio/*")
    assert (whole.status_code, b"".join(whole)) == (200, AUDIO)
    part = program.get(f"recordings/{mine.recording.uuid}/audio", range="bytes=10-19")
    assert (part.status_code, b"".join(part)) == (206, AUDIO[10:20])
    beyond = program.get(f"recordings/{mine.recording.uuid}/audio", range=f"bytes={len(AUDIO)}-")
    assert beyond.status_code == 416


def test_links_are_given_and_revoked(program: Any, mine: World, client: Any) -> None:
    told = program.get(f"recordings/{mine.recording.uuid}").json()
    place = told["link"].partition("/recordings/")[2]
    assert client.get(f"/recordings/{place}").status_code == 200
    fresh = program.post(f"recordings/{mine.recording.uuid}/revoke").json()
    assert fresh["link"] != told["link"]
    assert client.get(f"/recordings/{place}").status_code == 404


def test_a_recording_is_asked_for_again(program: Any, mine: World) -> None:
    Recording.objects.update(state="failed", error="no luck", attempts=60, file="")
    assert program.get(f"recordings/{mine.recording.uuid}/audio").status_code == 404
    told = program.post(f"recordings/{mine.recording.uuid}/request")
    assert (told.status_code, told.json()["state"], told.json()["error"]) == (202, "ready", "")
    assert Recording.objects.get().due_at
    Recording.objects.update(state="deleted", due_at=None)
    assert program.post(f"recordings/{mine.recording.uuid}/request").json()["code"] == "conflict"
    assert not recordings.due()


# --- Events


def blocks(answer: Any) -> list[dict[str, Any]]:
    lines = [line for part in answer for line in part.decode().splitlines()]
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


def test_the_stream_tells_the_calls_that_go_on(program: Any, mine: World, theirs: World) -> None:
    going_on = {"state": "ringing", "outcome": "", "ended_at": None, "answered_at": None}
    Call.objects.update(**going_on)
    answer = program.get("events", accept="text/event-stream")
    assert (answer.status_code, answer["Content-Type"]) == (200, "text/event-stream")
    assert blocks(answer) == [{"call": str(mine.call.uuid), "version": 1, "over": False}]


def test_who_comes_again_is_told_what_went_by(program: Any, mine: World) -> None:
    Call.objects.update(first_received_at=timezone.now())
    assert blocks(program.get("events")) == []
    place = str(round((timezone.now() - timedelta(minutes=1)).timestamp() * 1000))
    (told,) = blocks(program.get("events", last_event_id=place))
    assert (told["call"], told["over"]) == (str(mine.call.uuid), True)
    assert blocks(program.get(f"events?since={place}")) == [told]


def test_a_key_that_is_taken_back_hears_no_more(program: Any, mine: World) -> None:
    row = ApiKey.objects.get()
    listener = Listening(mine.company, row)
    assert listener.again()
    ApiKey.objects.update(scopes=["people:read"])
    assert listener.again() is None
    ApiKey.objects.update(scopes=keys.SCOPES)
    keys.revoke(row)
    assert listener.again() is None


def test_a_key_has_few_streams(program: Any, mine: World) -> None:
    listener, hub = Listening(mine.company, ApiKey.objects.get()), live.Hub()
    from contextlib import ExitStack

    with ExitStack() as streams:
        for _ in range(live.MOST_OF_ONE):
            assert not hub.full_for(listener)
            streams.enter_context(hub.joined(live.CallStream(listener)))
        assert hub.full_for(listener)
