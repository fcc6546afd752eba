"""Working hours of a line: set beside its name, and what follows from them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from employees import installation
from integrations import directory
from integrations.facts import facts_of
from telephony import hours, reports
from telephony.missed import MissedFilter
from telephony.missed import page as missed_page
from telephony.models import VirtualNumber
from telephony.reports import Period
from tests import factories as make
from tests.portal.conftest import World

MONDAY = "2026-03-02"
OFFICE = {"known": "on", "mon": "9–13, 14:00-18:00", "tue": "", "off": "06.03.2026 2026-05-01"}
STORED = "mon 09:00-13:00 14:00-18:00\noff 2026-03-06 2026-05-01"


def page(world: World) -> str:
    return reverse("portal:number_hours", args=[world.connection.uuid, world.number.pk])


def kept(world: World) -> str:
    return VirtualNumber.objects.get(pk=world.number.pk).hours


def test_they_are_written_as_people_write_them(mine: World, owner: Client) -> None:
    assert "09:00–18:00" in owner.get(page(mine)).content.decode(), "the form begins with what is usual"
    assert owner.post(page(mine), OFFICE).status_code == 302
    assert kept(mine) == STORED
    assert "09:00–13:00, 14:00–18:00" in owner.get(page(mine)).content.decode()
    numbers = owner.get(reverse("portal:connection_numbers", args=[mine.connection.uuid])).content.decode()
    assert "09:00–13:00, 14:00–18:00" in numbers
    owner.post(page(mine), {**OFFICE, "known": ""})
    assert kept(mine) == ""


@pytest.mark.parametrize(
    ("wrong", "named"),
    [({"mon": "from nine"}, "from nine"), ({"off": "31.02.2026"}, "31.02.2026"), ({"mon": "", "tue": ""}, "")],
)
def test_what_cannot_be_understood_is_named_and_nothing_is_kept(
    mine: World, owner: Client, wrong: dict[str, str], named: str
) -> None:
    response = owner.post(page(mine), {**OFFICE, **wrong})
    assert response.status_code == 200
    assert "cb-wrong" in response.content.decode()
    assert named in response.content.decode()
    assert kept(mine) == ""


def test_all_numbers_of_a_connection_may_have_the_same(mine: World, owner: Client) -> None:
    other = make.VirtualNumberFactory.create(connection=mine.connection)
    elsewhere = make.VirtualNumberFactory.create(connection=make.ConnectionFactory.create(company=mine.company))
    owner.post(page(mine), {**OFFICE, "everywhere": "on"})
    other.refresh_from_db()
    elsewhere.refresh_from_db()
    assert (kept(mine), other.hours, elsewhere.hours) == (STORED, STORED, "")


def at(hour: int) -> datetime:
    """On a Monday, by the clock of the company (UTC+3)."""
    return datetime(2026, 3, 2, hour - 3, 30, tzinfo=UTC)


def test_missed_calls_outside_them_are_marked_and_counted(mine: World, owner: Client) -> None:
    VirtualNumber.objects.filter(pk=mine.number.pk).update(hours=STORED)
    for hour, number in ((10, mine.number.number), (13, mine.number.number), (20, mine.number.number), (20, "+7499")):
        make.CallFactory.create(
            connection=mine.connection, outcome="missed", started_at=at(hour), virtual_number=number
        )
    with time_machine.travel(at(22)):
        rows = missed_page(MissedFilter(mine.company, {"period": "week"})).rows
    marked = [row.off_hours for row in rows if row.call.started_at.date() == at(10).date()]
    assert sorted(marked) == [False, False, True, True]
    period = Period(at(10).date(), at(10).date())
    assert reports.totals(mine.company, period).off_hours == 2
    by_line = {line.key: line.off_hours for line in reports.by_line(mine.company, period)}
    assert by_line == {mine.number.number: 2, "+7499": 0}
    with timezone.override(mine.company.time_zone):  # as the portal does
        hours_of_day, _week = reports.by_hour(mine.company, period)
    assert {line.key: line.off_hours for line in hours_of_day if line.off_hours} == {13: 1, 20: 1}


@pytest.mark.parametrize(("hour", "when", "fits"), [(10, "working", True), (20, "working", False), (20, "off", True)])
@pytest.mark.parametrize("known", [True, False])
def test_a_rule_may_hold_only_within_or_outside_them(
    mine: World, hour: int, when: str, fits: bool, known: bool
) -> None:
    VirtualNumber.objects.filter(pk=mine.number.pk).update(hours=STORED if known else "")
    mine.rule.hours, mine.rule.settings = when, {"default_responsible_incoming": "42"}
    mine.rule.save()
    installation.refresh()
    fields: dict[str, Any] = {"virtual_number": mine.number.number, "started_at": at(hour)}
    call = make.CallFactory.build(connection=mine.connection, company=mine.company, **fields)
    wanting = directory.by_id(mine.integration.pk)
    settings = wanting.job(call, facts_of(call, [], [], wanting), {}).settings
    assert (settings["default_responsible_incoming"] == "42") is (fits and known)


def test_new_hours_hold_at_once(mine: World) -> None:
    """What is remembered of lines is forgotten when they change."""
    mine.rule.hours, mine.rule.settings = "off", {"default_responsible_incoming": "42"}
    mine.rule.save()
    number = VirtualNumber.objects.get(pk=mine.number.pk)
    for text, expected in ((STORED, False), ("tue 09:00-10:00", True)):
        number.hours = text
        number.save(update_fields=["hours"])
        installation.refresh()
        call = make.CallFactory.build(
            connection=mine.connection, company=mine.company, virtual_number=number.number, started_at=at(10)
        )
        wanting = directory.by_id(mine.integration.pk)
        settings = wanting.job(call, facts_of(call, [], [], wanting), {}).settings
        assert (settings["default_responsible_incoming"] == "42") is expected
    assert hours.read(number.hours) is not None
