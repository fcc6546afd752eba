"""The contract of all CRMs: calls of every kind, written into the emulated account over HTTP, whatever goes wrong."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as fuzz
from hypothesis import strategies as st

from crm_adapters import registry
from crm_adapters.base import Adapter, Capability, Job, Refused, Request, Trace
from employees import phones
from integrations.facts import over
from outbound.errors import CredentialsRefused, OutboundError, Rejected, Temporary, VendorFault
from outbound.http import Http
from tests.crm_adapters.calls import KINDS, KNOWN, Account, Audio, Call, Doubt, Kind, counted
from tests.crm_adapters.conftest import CRMS, MANAGER, SLUGS, having
from tests.docs import declared
from tests.emulators.crm import ANOTHER

IDS = [kind.name.replace(" ", "-") for kind in KINDS]
MOST_REQUESTS = 40
DIFFERENT = [kind for kind in KINDS if kind.recorded or kind.name in ("missed by a group", "missed by a known client")]
"""Kinds of calls whose requests are all that there are."""


def test_every_crm_has_an_emulator() -> None:
    assert registry.all_adapters().keys() == CRMS.keys()


@pytest.mark.parametrize("adapter", [registry.get(slug) for slug in SLUGS], ids=SLUGS)
def test_what_an_adapter_declares_is_there(adapter: Adapter) -> None:
    form: Any = adapter.settings_form
    in_blocks = [name for _title, names in form.blocks for name in names]
    assert sorted(in_blocks) == sorted(form.base_fields)
    for dependent, master in getattr(form, "depends", {}).items():
        assert {dependent, master} <= form.base_fields.keys()
    assert set(adapter.rule_fields) <= form.base_fields.keys()
    assert declared(adapter).keys() <= adapter.step_titles.keys()
    assert adapter.secret_fields <= {*adapter.credential_form.base_fields, *adapter.token_fields}


# --- Calls


def _is_right(call: Call) -> None:
    written = call.crm.calls(call.phone)
    if call.kind.name in call.crm.refused:
        assert not written
        return
    assert len(written) == 1, written
    assert call.told(written[0]) == call.expected()
    assert call.crm.violations == []


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_a_call_is_written_as_it_was(house: Account, audio: Audio, kind: Kind) -> None:
    call = Call(kind, 1, house.crm, audio)
    house.play(call)
    _is_right(call)
    if house.crm.pops_up and Capability.POP_UP in house.adapter.capabilities and kind.direction == "in":
        assert house.crm.screens(call.phone) == {house.crm.users[number] for number in kind.rings}


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_a_call_that_nobody_saw_is_written_all_the_same(house: Account, audio: Audio, kind: Kind) -> None:
    call = Call(kind, 1, house.crm, audio, live=False)
    for facts in call.ends():
        house.bring(facts, patient=facts.recording_expected)
    _is_right(call)
    assert house.crm.screens(call.phone) == set()


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_what_is_written_is_written_once(house: Account, audio: Audio, kind: Kind) -> None:
    """The same changes again cost nothing."""
    call = Call(kind, 1, house.crm, audio)
    house.play(call)
    with counted(house) as again:
        for facts in list(call.ends())[-1:]:
            house.bring(facts)
    assert not again


def _try(house: Account, call: Call) -> None:
    """Each change, tried again until it is in."""
    for facts in call.changes():
        for _attempt in range(4):
            try:
                house.bring(facts, patient=not facts.finished or facts.recording_expected)
            except Temporary:
                continue
            break
        else:
            raise AssertionError(f"never: {facts.state}")


@pytest.mark.parametrize("fault", ["down", "reset", "lost", "html", "truncated"])
@pytest.mark.parametrize("kind", DIFFERENT, ids=lambda kind: kind.name.replace(" ", "-"))
def test_whatever_becomes_of_an_answer_the_call_is_there_once(
    house: Account, audio: Audio, kind: Kind, fault: str
) -> None:
    """Each request of the call in its turn goes wrong."""
    number = 0
    while True:
        number += 1
        call = Call(kind, number, house.crm, audio)
        assert number < MOST_REQUESTS
        with house.crm.faulty(fault, skip=number - 1, count=1) as struck:
            try:
                _try(house, call)
            except Doubt:
                assert fault in ("lost", "html", "truncated", "reset")
                assert len(house.crm.calls(call.phone)) <= 1 + (number - 1) * kind.known
                continue
        if kind.known:
            written = house.crm.calls(call.phone)
            assert [each for each in written if call.told(each) != call.expected()] == []
        else:
            _is_right(call)
        if not struck.hits:
            break


PART = Kind("told apart", rings=("102",), talks=("102",), outcome="answered")


def _closed(house: Account, call: Call) -> bool:
    """Whether no card of it is open, and nothing of it stands there that did not before but an ended call."""
    written = house.crm.calls(call.phone)
    ended = all(each.ended for each in written) and len(written) <= house.crm.keeps_parts
    return ended and house.crm.open_cards(call.phone) == set()


@pytest.mark.parametrize("stage", [1, 2], ids=["rings", "talks"])
def test_what_a_part_of_another_call_opened_is_closed(house: Account, audio: Audio, stage: int) -> None:
    call = Call(PART, 1, house.crm, audio)
    *_, last = islice(call.changes(), stage)
    house.play_until(call, stage)
    told = over(last, datetime.now(UTC))
    house.bring(told, part=True)
    assert _closed(house, call)
    with counted(house) as again:
        house.bring(told, part=True)
    assert not again
    assert house.crm.violations == []


@pytest.mark.parametrize("fault", ["down", "reset", "lost", "html", "truncated"])
def test_whatever_becomes_of_an_answer_a_part_is_closed(house: Account, audio: Audio, fault: str) -> None:
    number = 0
    while True:
        number += 1
        call = Call(PART, number, house.crm, audio)
        assert number < MOST_REQUESTS
        with house.crm.faulty(fault, skip=number - 1, count=1) as struck:
            with suppress(Temporary, VendorFault, Doubt):
                house.play_until(call, 2)
            told = over(list(islice(call.changes(), 2))[-1], datetime.now(UTC))
            with suppress(Temporary, VendorFault, Doubt):
                house.bring(told, part=True)
            with suppress(Doubt):
                house.bring(told, part=True)
        assert _closed(house, call) or (house.crm.told_once and struck.hits), number
        if not struck.hits:
            break


def test_calls_of_many_clients_at_once(house: Account, audio: Audio) -> None:
    calls = [Call(kind, number, house.crm, audio) for number, kind in enumerate(KINDS) if not kind.known]
    changes = [list(call.changes()) for call in calls]
    for step in range(max(len(each) for each in changes)):
        for each in changes:
            if step < len(each):
                facts = each[step]
                house.bring(facts, patient=not facts.finished or facts.recording_expected)
    for call in calls:
        _is_right(call)


def test_tokens_that_are_over_are_renewed_on_the_way(house: Account, audio: Audio) -> None:
    call = Call(KINDS[1], 1, house.crm, audio)
    for facts in call.changes():
        house.crm.expire()
        house.bring(facts)
    _is_right(call)


@having(Capability.LISTS_CALLS)
def test_calls_that_others_wrote_are_told_from_ours(house: Account, audio: Audio) -> None:
    call = Call(Kind("of a known client", talks=("101",), outcome="answered", known=True), 1, house.crm, audio)
    house.play(call)
    house.crm.write_for_another(KNOWN, "in", 30, call.began)
    since, until = call.began - timedelta(hours=1), call.began + timedelta(hours=1)
    listed = house.adapter.calls(house.http, house.secrets, since, until)
    ours = [each for each in listed if each.key == call.id]
    (other,) = [each for each in listed if each not in ours]
    assert (other.writer, other.direction, other.seconds) == (ANOTHER, "in", 30)
    assert len(ours) == 1
    assert ours[0].started_at == other.started_at == call.began
    assert phones.normalise(ours[0].phone, "RU") == phones.normalise(other.phone, "RU") == KNOWN
    assert house.adapter.number_of(house.notes[call.id]) in ("", ours[0].id)
    assert house.adapter.calls(house.http, house.secrets, until, until + timedelta(hours=1)) == []
    assert house.crm.violations == []


# --- What is foreseen, and what is cleaned up


def _foreseen(house: Account, call: Call) -> list[str]:
    """Names of the steps that a rehearsal shows, without a request."""
    notes: dict[str, Any] = {}
    names: list[str] = []
    for facts in call.changes():
        while step := house.adapter.plan(Job(facts, house.settings, notes)):
            if step.settle > 1 and (not facts.finished or facts.recording_expected):
                break
            names.append(step.name)
            left = house.adapter.foresee(Job(facts, house.settings, notes), step)
            if left is None:
                return names
            notes = {**notes, **step.keeps, **left}
            assert len(names) < MOST_REQUESTS
    return names


@pytest.mark.parametrize("kind", KINDS, ids=IDS)
def test_what_is_foreseen_is_what_is_done(house: Account, audio: Audio, kind: Kind) -> None:
    """As far as an adapter foresees, it is right."""
    call = Call(kind, 1, house.crm, audio)
    foreseen = _foreseen(house, call)
    assert not house.exchanges
    house.play(call)
    assert foreseen == [step.name for step in house.steps][: len(foreseen)]
    assert foreseen or not house.steps


def _traces(house: Account, call: Call) -> list[Trace]:
    return house.adapter.traces(house.notes[call.id], house.secrets)


def test_what_a_call_left_is_known_and_removed(house: Account, audio: Audio) -> None:
    call = Call(KINDS[1], 1, house.crm, audio)
    house.play(call)
    traces = _traces(house, call)
    assert traces
    assert all(trace.title for trace in traces)
    assert all(not trace.link or trace.link.startswith(("http://", "https://")) for trace in traces)
    for trace in traces:
        if trace.removable:
            house.adapter.remove(house.http, house.secrets, trace)
    assert house.crm.violations == []
    if any(trace.removable for trace in traces) and Capability.CLIENT_LOOKUP in house.adapter.capabilities:
        assert house.adapter.find_client(house.http, house.secrets, call.phone, 2.0) is None


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.known], ids=lambda kind: kind.name.replace(" ", "-"))
def test_whom_the_crm_had_before_is_no_trace(house: Account, audio: Audio, kind: Kind) -> None:
    call = Call(kind, 1, house.crm, audio)
    house.play(call)
    for trace in _traces(house, call):
        if trace.removable:
            house.adapter.remove(house.http, house.secrets, trace)
    if Capability.CLIENT_LOOKUP in house.adapter.capabilities:
        found = house.adapter.find_client(house.http, house.secrets, KNOWN, 2.0)
        assert found is not None
        of_clients = {trace.id for trace in _traces(house, call) if trace.kind.lower() == found.entity.lower()}
        assert found.entity_id not in of_clients


def test_what_is_gone_already_is_no_error_or_said_so(house: Account, audio: Audio) -> None:
    call = Call(KINDS[1], 1, house.crm, audio)
    house.play(call)
    for trace in [each for each in _traces(house, call) if each.removable]:
        house.adapter.remove(house.http, house.secrets, trace)
        with suppress(Rejected):
            house.adapter.remove(house.http, house.secrets, trace)


# --- Everything else that is asked of it


def test_the_check_tells_right_from_wrong(house: Account) -> None:
    checks = house.adapter.check(house.http, house.secrets)
    assert checks
    assert [check.name for check in checks if not check.ok] == []
    before = [house.crm.calls(phone) for phone in (KNOWN,)]
    try:
        found = house.adapter.check(house.http, house.crm.wrong)
    except CredentialsRefused:
        pass
    else:
        broken = [check for check in found if not check.ok]
        assert broken
        assert all(check.cure for check in broken)
    assert [house.crm.calls(phone) for phone in (KNOWN,)] == before


def test_users(house: Account) -> None:
    if Capability.USERS not in house.adapter.capabilities:
        return
    users = {user.id: user for user in house.adapter.users(house.http, house.secrets)}
    assert users.keys() >= {*house.crm.users.values(), house.crm.default}
    assert all(user.name for user in users.values())


def test_lists_to_choose_from(house: Account) -> None:
    form = house.adapter.settings_form()
    sources = {field.widget.attrs.get("data-source") for field in form.fields.values()} - {None, "users"}
    for source in sources:
        for choice in house.adapter.choices(house.http, house.secrets, source):
            assert choice.id
            assert choice.name


def test_clients_are_known_by_their_phone(house: Account) -> None:
    if Capability.CLIENT_LOOKUP not in house.adapter.capabilities:
        return
    found = house.adapter.find_client(house.http, house.secrets, KNOWN, 2.0)
    assert found is not None
    assert (found.name, found.manager) == ("Maria Known", house.crm.users[MANAGER])
    assert house.adapter.find_client(house.http, house.secrets, "+79000099999", 2.0) is None


def test_a_number_that_only_looks_alike_is_another_client(house: Account) -> None:
    if Capability.CLIENT_LOOKUP not in house.adapter.capabilities:
        return
    assert house.adapter.find_client(house.http, house.secrets, f"+3{KNOWN[2:]}", 2.0) is None


@pytest.mark.parametrize("fault", ["down", "reset", "html", "truncated", "too_many"])
def test_questions_end_with_a_typed_error(house: Account, fault: str) -> None:
    asks: list[Any] = [lambda: house.adapter.check(house.http, house.secrets)]
    if Capability.USERS in house.adapter.capabilities:
        asks.append(lambda: house.adapter.users(house.http, house.secrets))
    if Capability.CLIENT_LOOKUP in house.adapter.capabilities:
        asks.append(lambda: house.adapter.find_client(house.http, house.secrets, KNOWN, 2.0))
    with house.crm.faulty(fault):
        for ask in asks[1:]:
            with pytest.raises(OutboundError):
                ask()
        try:
            assert not all(check.ok for check in asks[0]())
        except OutboundError:
            pass


def test_no_secret_is_recorded(house: Account, audio: Audio) -> None:
    house.play(Call(KINDS[1], 1, house.crm, audio))
    house.adapter.check(house.http, house.secrets)
    text = repr(house.exchanges)
    for name in house.crm.keys:
        assert house.secrets[name] not in text, name


# --- What it sends us


_REQUESTS = st.builds(
    Request,
    method=st.sampled_from(["GET", "POST", "OPTIONS"]),
    path=st.text(max_size=20),
    body=st.binary(max_size=200) | st.text(max_size=100).map(str.encode),
    query=st.text(max_size=40),
    headers=st.dictionaries(st.sampled_from(["content-type", "authorization", "x-auth-token"]), st.text(max_size=40)),
)


@pytest.mark.parametrize("adapter", [registry.get(slug) for slug in SLUGS], ids=SLUGS)
@given(request=_REQUESTS)
@fuzz(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_noise_is_refused_or_says_nothing(adapter: Adapter, request: Request) -> None:
    secrets = CRMS[adapter.slug]().secrets
    nowhere = Http(deadline=0.2, allow_private=True)
    try:
        adapter.handshake(request)
        adapter.identify(request)
    except Refused:
        pass
    try:
        adapter.authenticate(request, secrets)
    except Refused:
        return
    adapter.reply(request, secrets)
    adapter.shown(request)
    try:
        adapter.events(request, nowhere, secrets)
    except OutboundError:
        pass
