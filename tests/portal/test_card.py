"""The card of a live call: whose it is, what it shows, what can be done from it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import cache
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from clients.models import Client, Comment, Task
from employees.models import Membership, Role
from employees.rights import Right
from employees.sites import PortalRequest
from integrations import lookups
from integrations.actors import look_up_client
from integrations.models import CardWrite
from outbound.errors import OutboundError, Temporary
from telephony import commands, inbox, live
from telephony.live_company import CompanyStream
from telephony.models import Call, Command
from tests import factories as make
from tests.portal.conftest import World
from tests.portal.test_isolation import body

RINGING: dict[str, Any] = {"state": "ringing", "live_leg": "leg", "ended_at": None, "answered_at": None, "outcome": ""}
TALKING = RINGING | {"state": "answered", "answered_at": timezone.now()}


def a_call(world: World, employee: Any = None, person: str = "ringing", **values: Any) -> Call:
    """A live call at an employee's telephone."""
    values = {"client_phone": "+79261112233", "virtual_number": world.number.number, **RINGING, **values}
    call = make.CallFactory(connection=world.connection, started_at=timezone.now(), **values)
    answered = timezone.now() if person == "talking" else None
    make.ParticipantFactory(
        call=call, employee=employee or world.employee, state=person, answered_at=answered, left_at=None, position=0
    )
    return call


@pytest.fixture
def operator(mine: World) -> Browser:
    browser = Browser(headers={"accept-language": "en"})
    browser.force_login(mine.member.user)
    return browser


def part(browser: Browser, call: Call) -> str:
    return browser.get("/card/", {"call": str(call.uuid)}, headers={"X-Part": "1"}).content.decode()


def streamed(browser: Browser, query: str = "", **headers: str) -> list[str]:
    """The calls that a stream names as it begins."""
    blocks = body(browser.get(f"/card/live/{query}", headers=headers))
    return [json.loads(data)["call"] for data in re.findall(r"event: call\n.*\ndata: (.*)", blocks)]


# --- Whose card it is -------------------------------------------------------------------------------------------------


def test_a_stream_names_the_calls_of_its_person_alone(mine: World, theirs: World, operator: Browser) -> None:
    his, colleague = a_call(mine), make.EmployeeFactory(company=mine.company)
    a_call(mine, colleague)
    a_call(theirs)
    assert streamed(operator) == [str(his.uuid)]


def test_who_is_no_employee_may_hear_of_all_calls(
    mine: World, theirs: World, signed_in: Callable[..., Browser]
) -> None:
    owner, call = signed_in(mine.company, language="en"), a_call(mine)
    a_call(theirs)
    assert streamed(owner) == []
    assert "No employee belongs to you" in body(owner.get("/card/"))
    assert streamed(owner, "?all") == [str(call.uuid)]
    assert str(call.uuid) in body(owner.get("/card/?all"))


def test_who_is_an_employee_hears_of_his_own_calls_whatever_he_asks_for(mine: World, operator: Browser) -> None:
    a_call(mine, make.EmployeeFactory(company=mine.company))
    assert streamed(operator, "?all") == []


def test_who_comes_again_is_told_what_has_ended(mine: World, operator: Browser) -> None:
    ended = a_call(mine, state="finished", outcome="missed", ended_at=timezone.now(), live_leg="")
    assert streamed(operator) == []
    before, after = timezone.now() - timedelta(minutes=1), timezone.now() + timedelta(minutes=5)
    assert str(ended.uuid) in streamed(operator, **{"Last-Event-ID": str(round(before.timestamp() * 1000))})
    assert str(ended.uuid) in streamed(operator, f"?since={round(before.timestamp() * 1000)}")
    assert streamed(operator, **{"Last-Event-ID": str(round(after.timestamp() * 1000))}) == []
    assert streamed(operator, **{"Last-Event-ID": "9" * 40}) == []


def test_a_card_of_another_company_is_not_found(mine: World, theirs: World, operator: Browser) -> None:
    for named in (str(a_call(theirs).uuid), "nothing"):
        assert operator.get("/card/", {"call": named}).status_code == 404


def test_a_listener_goes_with_his_session_and_his_right(mine: World, operator: Browser) -> None:
    def listener() -> live.Person:
        request = cast("PortalRequest", operator.get("/card/").wsgi_request)
        request.membership = mine.member
        return live.Person.of(request, everybody=False)

    assert listener().again() == listener()
    Membership.objects.filter(pk=mine.member.pk).update(role=Role.READ_ONLY)
    assert listener().again() is None
    Membership.objects.filter(pk=mine.member.pk).update(role=Role.OPERATOR)
    before = listener()
    assert before.again()
    operator.logout()
    assert before.again() is None


def test_what_changed_is_told_apart_from_what_did_not(mine: World) -> None:
    """Also of a call that is older than what is looked for, once it was known to go on."""
    long_ago = timezone.now() - timedelta(hours=2)
    old, call = a_call(mine, **TALKING), a_call(mine)
    Call.objects.filter(pk=old.pk).update(started_at=long_ago)
    known = live.look({mine.company.pk}, {})
    assert {old.pk, call.pk} <= known.keys()
    Call.objects.filter(pk=old.pk).update(state="finished", outcome="answered", version=2, ended_at=timezone.now())
    found = live.look({mine.company.pk}, known)
    assert found[old.pk].over
    assert [pk for pk, told in found.items() if told is not known.get(pk)] == [old.pk]
    assert old.pk not in live.look({mine.company.pk}, found)


# --- What it shows ----------------------------------------------------------------------------------------------------


def test_a_card_says_who_calls_on_which_line(mine: World, operator: Browser) -> None:
    make.ClientPhoneFactory(client=mine.client, phone="+79261112233")
    make.CallFactory(connection=mine.connection, client_phone="+79261112233", employee=mine.employee)
    mine.client.deals, mine.client.others = ["Tulips for spring"], ["Another client"]
    mine.client.save()
    text = part(operator, a_call(mine))
    for words in ("mine line", "mine client", "Tulips for spring", "Another client", "not the only match"):
        assert words in text
    assert "Last calls" in text
    assert "data-rings" in text


def test_a_colleagues_conversation_is_said_and_left_alone(mine: World, operator: Browser) -> None:
    call = a_call(mine, person="ended", **TALKING)
    colleague = make.EmployeeFactory(company=mine.company, name="Boris Petrov")
    make.ParticipantFactory(call=call, employee=colleague, state="talking", position=1, answered_at=timezone.now())
    text = part(operator, call)
    assert "Boris Petrov has answered" in text
    assert "Hang up" not in text
    assert str(call.uuid) not in body(operator.get("/card/"))


def test_an_outgoing_call_does_not_ring(mine: World, operator: Browser) -> None:
    assert "data-rings" not in part(operator, a_call(mine, direction="out"))


def test_a_hidden_number_has_a_card_too(mine: World, operator: Browser) -> None:
    make.CommentFactory(company=mine.company, client_phone="", text="of somebody else")
    call = a_call(mine, client_phone="")
    assert "hidden number" in part(operator, call)
    operator.post(reverse("portal:comment", args=[call.uuid]), {"text": "of this one"})
    assert "of this one" in part(operator, call)
    assert "of somebody else" not in part(operator, call)


def test_number_and_names_are_no_markup(mine: World, operator: Browser) -> None:
    call = a_call(mine)
    operator.post(reverse("portal:comment", args=[call.uuid]), {"text": "<script>alert(1)</script>"})
    assert "<script>" not in part(operator, call)


# --- What CRMs know ---------------------------------------------------------------------------------------------------


def test_a_crm_that_does_not_answer_is_asked_once_and_named(mine: World, operator: Browser) -> None:
    call = a_call(mine)
    assert "is being asked" in part(operator, call)
    assert not lookups.begins(mine.credential, call.client_phone)
    version = Call.objects.get(pk=call.pk).version
    look_up_client.fn(call.pk, mine.credential.pk)
    assert Call.objects.get(pk=call.pk).version > version
    assert "The CRM could not be reached in time" in part(operator, call)


def test_whom_a_crm_does_not_know_is_said(mine: World, operator: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(mine.credential.adapter), "find_client", lambda *_: None)
    call = a_call(mine)
    part(operator, call)
    look_up_client.fn(call.pk, mine.credential.pk)
    text = part(operator, call)
    assert "nobody has this number there" in text
    assert "Who is this?" not in text


def test_what_the_book_has_fresh_is_not_asked_for(mine: World, operator: Browser) -> None:
    client = make.ClientFactory(
        company=mine.company,
        source=mine.credential.source,
        link="/crm/contact/1/",
        details={"email": "nina@example.com"},
        detailed_at=timezone.now(),
    )
    make.ClientPhoneFactory(client=client, phone="+79261112233")
    text = part(operator, a_call(mine))
    assert "is being asked" not in text
    assert "nina@example.com" in text
    assert f'href="https://{mine.credential.domain}/crm/contact/1/"' in text
    assert lookups.begins(mine.credential, "+79261112233")


def test_a_link_leads_to_the_crm_alone(mine: World, operator: Browser) -> None:
    client = make.ClientFactory(company=mine.company, source=mine.credential.source, link="javascript:x()")
    make.ClientPhoneFactory(client=client, phone="+79261112233")
    assert "javascript:" not in part(operator, a_call(mine))


# --- What can be done -------------------------------------------------------------------------------------------------


def test_a_comment_is_kept_under_the_clients_numbers(mine: World, operator: Browser) -> None:
    for phone in ("+79261112233", "+79261112244"):
        make.ClientPhoneFactory(client=mine.client, phone=phone)
    first, other = a_call(mine), a_call(mine, client_phone="+79261112244")
    answer = operator.post(reverse("portal:comment", args=[first.uuid]), {"text": " Wants tulips "}, follow=True)
    assert "The comment is kept." in body(answer)
    row = Comment.objects.get(call=first.uuid)
    assert (row.text, row.author, row.company) == ("Wants tulips", mine.member.user, mine.company)
    assert "Wants tulips" in part(operator, other)
    assert "Wants tulips" in body(operator.get(reverse("portal:call", args=[first.uuid])))
    assert Call.objects.get(pk=first.pk).version > first.version


def test_comments_of_others_are_in_no_card(mine: World, theirs: World, operator: Browser) -> None:
    make.CommentFactory(company=theirs.company, client_phone="+79261112233", text="theirs alone")
    assert "theirs alone" not in part(operator, a_call(mine))


def test_an_empty_comment_is_refused(mine: World, operator: Browser) -> None:
    call = a_call(mine)
    answer = operator.post(reverse("portal:comment", args=[call.uuid]), {"text": "  "}, follow=True)
    assert "Write the comment first." in body(answer)
    assert not Comment.objects.filter(call=call.uuid).exists()


def test_a_client_is_entered_and_corrected_where_no_crm_is_asked(
    mine: World, operator: Browser, owner: Browser
) -> None:
    mine.integration.active = False
    mine.integration.save()
    call = a_call(mine)
    assert "Who is this?" in part(operator, call)
    address = reverse("portal:call_client", args=[call.uuid])
    operator.post(address, {"name": "Nina Sample", "organisation": "Tulips"})
    assert "Nina Sample" in part(operator, call)
    operator.post(address, {"name": "Nina Simple", "organisation": ""})
    (client,) = Client.objects.filter(company=mine.company, source="")
    assert (client.name, [row.phone for row in client.phones.all()]) == ("Nina Simple", ["+79261112233"])
    assert "Nina Simple" in body(owner.get("/clients/"))
    refused = operator.post(address, {"name": ""}, follow=True)
    assert "Write the client&#x27;s name first." in body(refused)


@pytest.fixture
def pbx(monkeypatch: pytest.MonkeyPatch, mine: World) -> list[str]:
    """A PBX that takes every command; what it was asked for."""
    asked: list[str] = []
    for kind in ("hangup", "transfer"):
        monkeypatch.setattr(type(mine.connection.protocol), kind, lambda *_, kind=kind, **details: asked.append(kind))
    return asked


def test_who_hangs_up_twice_is_told_so(mine: World, operator: Browser, pbx: list[str]) -> None:
    call = a_call(mine, person="talking", **TALKING)
    address = reverse("portal:hangup", args=[call.uuid])
    there = {"next": f"/card/?call={call.uuid}"}
    said = [body(operator.post(address, there, headers={"X-Part": "1"}, follow=True)) for _ in range(2)]
    assert "The PBX was asked to end the call." in said[0]
    assert "The PBX has been asked for this a moment ago." in said[1]
    assert pbx == ["hangup"]


def test_a_refused_command_may_be_given_again(mine: World, monkeypatch: pytest.MonkeyPatch, pbx: list[str]) -> None:
    call = a_call(mine, person="talking", **TALKING)

    def refuse(*_: object, **__: object) -> None:
        raise Temporary("the PBX is away")

    with monkeypatch.context() as patch:
        patch.setattr(type(mine.connection.protocol), "hangup", refuse)
        with pytest.raises(OutboundError):
            commands.hangup(call)
    Command.objects.filter(call=call).update(state=Command.State.REFUSED)
    commands.hangup(call)
    assert pbx == ["hangup"]


def test_a_call_is_transferred_to_a_colleague(mine: World, theirs: World, operator: Browser, pbx: list[str]) -> None:
    call = a_call(mine, person="talking", **TALKING)
    boris = make.EmployeeFactory(company=mine.company, name="Boris Petrov")
    make.ExtensionFactory(company=mine.company, number="102", employee=boris)
    make.ExtensionFactory(company=theirs.company, number="777", employee=theirs.employee)
    text = part(operator, call)
    assert "Boris Petrov · 102" in text
    assert "· 101" not in text
    assert "777" not in text
    address = reverse("portal:transfer", args=[call.uuid])
    assert "Choose whom to transfer the call to." in body(operator.post(address, {"to": "777"}, follow=True))
    assert pbx == []
    assert "102 · Boris Petrov" in body(operator.post(address, {"to": "102"}, follow=True))
    assert pbx == ["transfer"]


def test_every_change_leaves_another_mark(mine: World, django_capture_on_commit_callbacks: Any) -> None:
    marks = []
    for change in (lambda: inbox.announce([mine.call.pk]), lambda: live.touch(mine.call.pk)):
        with django_capture_on_commit_callbacks(execute=True):
            change()
        marks.append(live._read_marks([live.mark_of(mine.company.pk)]))
    assert set(marks[0]) == {live.MARK, live.mark_of(mine.company.pk)}
    assert not set(marks[0].values()) & set(marks[1].values())


def test_much_at_once_is_one_word(mine: World) -> None:
    """Each stream of a company is told once of what came together, and not of what was there before."""
    request = SimpleNamespace(membership=mine.member, session=SessionStore(), user=mine.member.user)
    listener = live.Person.of(cast("PortalRequest", request), everybody=True, right=Right.READ)

    async def told(*marks: str) -> list[bool]:
        stream = CompanyStream(listener)
        stream.heed(marks[0])
        before = await stream.woken(0)
        for mark in marks[1:]:
            stream.heed(mark)
        return [before, await stream.woken(0), await stream.woken(0)]

    assert asyncio.run(told("a", "b", "c")) == [False, True, False]
    assert asyncio.run(told("", "b")) == [False, True, False]
    assert asyncio.run(told("a", "", "a")) == [False, False, False]  # a cache that was away says nothing


def test_who_only_reads_listens_to_lists_alone(mine: World, signed_in: Callable[..., Browser]) -> None:
    reader = signed_in(mine.company, Role.READ_ONLY)
    assert reader.get("/calls/live/").status_code == 200
    assert reader.get("/card/live/").status_code == 403


def test_without_a_cache_there_is_no_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nothing breaks: what is left are slow looks."""

    def broken(*_: object, **__: object) -> None:
        raise ConnectionError("no cache")

    monkeypatch.setattr(cache, "get_many", broken)
    assert live._read_marks([]) == {}


# --- What is written into CRMs ----------------------------------------------------------------------------------------


def known(world: World, phone: str = "+79261112233", **details: str) -> Any:
    """A client of the CRM, with fields that were read just now."""
    client = make.ClientFactory(
        company=world.company, source=world.credential.source, details=details, detailed_at=timezone.now()
    )
    make.ClientPhoneFactory(client=client, phone=phone)
    return client


def nobody(world: World, call: Call, browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CRM has said that it does not know the caller."""
    monkeypatch.setattr(type(world.credential.adapter), "find_client", lambda *_: None)
    part(browser, call)
    look_up_client.fn(call.pk, world.credential.pk)


def written(world: World, call: Call, kind: str) -> str:
    return reverse("portal:card_write", args=[call.uuid, world.integration.uuid, kind])


def sent(text: str, kind: str) -> dict[str, str]:
    """The hidden fields of a card's form, as a browser sends them."""
    found = re.search(rf'action="[^"]*/crm/[^"]*/{kind}/".*?</form>', text, re.DOTALL)
    assert found, kind
    return dict(re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', found[0]))


def test_who_is_unknown_can_be_made_by_who_may_work(
    mine: World, operator: Browser, signed_in: Callable[..., Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = a_call(mine)
    assert "Create the client" not in part(operator, call)  # the CRM is being asked
    nobody(mine, call, operator, monkeypatch)
    form = sent(part(operator, call), "create")
    operator.post(written(mine, call, "create"), form | {"name": "Nina", "email": "nina@example.com"})
    row = CardWrite.objects.get()
    assert (row.kind, row.values["name"], row.author) == ("create", "Nina", mine.member.user)
    text = part(operator, call)
    assert "is being written" in text
    assert "Create the client" not in text
    reader = signed_in(mine.company, Role.READ_ONLY, "en")
    assert reader.post(written(mine, call, "create"), form).status_code == 403


def test_one_form_is_sent_once(mine: World, operator: Browser) -> None:
    known(mine, name="Nina")
    call = a_call(mine)
    form = sent(part(operator, call), "task") | {"text": "Send prices", "due_at": "2027-01-01T10:00"}
    for _time in range(2):
        operator.post(written(mine, call, "task"), form)
    assert CardWrite.objects.count() == 1


def test_what_is_changed_is_noted_with_what_was_seen(mine: World, operator: Browser, owner: Browser) -> None:
    client = known(mine, name="Nina", email="nina@example.com", note="Roses\nonly")
    mapped = make.EmployeeMappingFactory(integration=mine.integration, employee=mine.employee, crm_user="12")
    call = a_call(mine)
    text = part(operator, call)
    form = sent(text, "save") | {"name": "Nina", "email": "new@example.com", "note": "Roses\r\nonly"}
    form["initial-note"] = "Roses\r\nonly"
    operator.post(written(mine, call, "save"), form)
    row = CardWrite.objects.get()
    assert (row.values, row.before) == ({"email": "new@example.com"}, {"email": "nina@example.com"})
    assert (row.entity, row.responsible) == (client.entity, mapped.crm_user)
    changes = body(owner.get("/changes/"))
    assert "new@example.com" in changes
    assert "nina@example.com" in changes


def test_a_form_that_changes_nothing_sends_nothing(mine: World, operator: Browser) -> None:
    known(mine, name="Nina")
    call = a_call(mine)
    operator.post(written(mine, call, "save"), sent(part(operator, call), "save") | {"name": "Nina"})
    assert not CardWrite.objects.exists()


def test_what_was_refused_stands_in_the_form_again(mine: World, operator: Browser) -> None:
    known(mine, name="Nina", email="")
    call = a_call(mine)
    form = sent(part(operator, call), "save") | {"name": "Nina", "email": "nobody@nowhere"}
    operator.post(written(mine, call, "save"), form)
    CardWrite.objects.update(state="refused", error_kind="rejected", words="The field contains an invalid address")
    text = part(operator, call)
    assert "The field contains an invalid address" in text
    assert 'value="nobody@nowhere"' in text
    assert "initial-email" not in sent(text, "save")  # it has no value: what the person saw
    assert sent(text, "save")["token"] != form["token"]


def test_in_doubt_the_person_is_told_to_look(mine: World, operator: Browser) -> None:
    client = known(mine, name="Nina")
    Client.objects.filter(pk=client.pk).update(link="/crm/contact/1/")
    call = a_call(mine)
    form = sent(part(operator, call), "task") | {"text": "Send prices", "due_at": "2027-01-01T10:00"}
    operator.post(written(mine, call, "task"), form)
    CardWrite.objects.update(state="doubt", sent_at=timezone.now())
    text = part(operator, call)
    assert "Look in the CRM before you try again" in text
    assert "Set a task" in text


def test_only_the_chosen_fields_are_shown(mine: World, operator: Browser) -> None:
    known(mine, name="Nina", email="nina@example.com", position="Florist")
    mine.integration.settings["card_fields"] = ["position"]
    mine.integration.save()
    text = part(operator, a_call(mine))
    assert "Florist" in text
    assert "nina@example.com" not in text


def test_with_no_field_chosen_records_are_left_alone(mine: World, operator: Browser) -> None:
    known(mine, name="Nina", email="nina@example.com")
    mine.integration.settings["card_fields"] = []
    mine.integration.save()
    text = part(operator, a_call(mine))
    assert "nina@example.com" not in text
    assert "Change the client" not in text
    assert "Set a task" in text


def test_who_may_not_see_numbers_neither_sees_nor_overwrites_them(mine: World, operator: Browser) -> None:
    known(mine, name="Nina", note="Her sister: +7 926 555-44-33", position="Florist")
    mine.company.hidden_from_operators = True
    mine.company.save()
    text = part(operator, a_call(mine))
    assert "555-44-33" not in text
    assert "Florist" in sent(text, "save")["initial-position"]
    assert "initial-note" not in sent(text, "save")


def test_nothing_is_offered_into_an_account_of_others(mine: World, theirs: World, operator: Browser) -> None:
    call = a_call(mine)
    for uuids in ([theirs.call.uuid, theirs.integration.uuid], [call.uuid, theirs.integration.uuid]):
        assert operator.post(reverse("portal:card_write", args=[*uuids, "task"])).status_code == 404
    operator.post(written(mine, call, "nonsense"), {"token": "none"})
    assert not CardWrite.objects.exists()


def test_an_account_that_refuses_our_keys_offers_nothing(mine: World, operator: Browser) -> None:
    known(mine, name="Nina")
    mine.credential.state = "refused"
    mine.credential.save()
    assert "/crm/" not in part(operator, a_call(mine)).replace("/crm/contact", "")


# --- Tasks that no CRM keeps ------------------------------------------------------------------------------------------


def test_a_task_is_kept_where_no_crm_keeps_it(mine: World, theirs: World, operator: Browser, owner: Browser) -> None:
    mine.integration.active = False
    mine.integration.save()
    call = a_call(mine)
    form = {"text": "Send <b>prices</b>", "due_at": "2020-01-01T10:00", "employee": str(mine.employee.uuid)}
    answer = operator.post(reverse("portal:call_task", args=[call.uuid]), form, follow=True)
    assert "The task is kept." in body(answer)
    task = Task.objects.get(call=call.uuid)
    assert (task.employee, task.made_by, task.client_phone) == (mine.employee, mine.member.user, call.client_phone)
    for text in (part(operator, call), body(operator.get("/tasks/"))):
        assert "Send &lt;b&gt;prices" in text
        assert "theirs task" not in text
    assert "Send &lt;b&gt;prices" not in body(owner.get("/tasks/"))  # it is neither his nor nobody's
    assert "Send &lt;b&gt;prices" in body(owner.get("/tasks/?all"))
    assert "Send &lt;b&gt;prices" in body(owner.get("/changes/"))
    operator.post(reverse("portal:task_done", args=[task.uuid]))
    assert "prices" not in part(operator, call)
    assert "prices" in body(operator.get("/tasks/?show=done"))
    operator.post(reverse("portal:task_reopen", args=[task.uuid]))
    assert "prices" in part(operator, call)


def test_a_task_for_a_person_of_others_is_refused(mine: World, theirs: World, operator: Browser) -> None:
    call = a_call(mine)
    form = {"text": "Send prices", "due_at": "2027-01-01T10:00", "employee": str(theirs.employee.uuid)}
    operator.post(reverse("portal:call_task", args=[call.uuid]), form)
    operator.post(reverse("portal:call_task", args=[call.uuid]), {"text": " ", "due_at": "soon"})
    assert not Task.objects.filter(call=call.uuid).exists()


def test_further_data_are_kept_where_no_crm_keeps_them(mine: World, operator: Browser) -> None:
    mine.integration.active = False
    mine.integration.save()
    call = a_call(mine)
    address = reverse("portal:call_client", args=[call.uuid])
    operator.post(address, {"name": "Nina", "email": "nina@example.com", "note": "Roses"})
    client = Client.objects.get(company=mine.company, source="")
    assert client.details == {"email": "nina@example.com", "position": "", "address": "", "note": "Roses"}
    text = part(operator, call)
    assert "nina@example.com" in text
    assert "Roses" in text


def test_the_number_of_questions_does_not_grow_with_clients_and_tasks(
    mine: World, operator: Browser, django_assert_max_num_queries: Any
) -> None:
    call = a_call(mine)
    known(mine, name="Nina")
    for _number in range(5):
        make.TaskFactory(company=mine.company, client_phone=call.client_phone, employee=mine.employee)
    part(operator, call)
    with django_assert_max_num_queries(45):
        part(operator, call)
