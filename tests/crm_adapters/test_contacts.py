"""The contract of all CRMs: what people change of a client from the card of a call, over HTTP, whatever goes wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from crm_adapters.base import Capability
from crm_adapters.contacts import NAME, NewContact, NewTask, Record, full_name
from outbound.errors import OutboundError, Rejected, Temporary, TokenExpired
from tests.crm_adapters.calls import KNOWN, Account
from tests.crm_adapters.conftest import MANAGER, having, slugs_having

PHONE = "+79000077777"
DUE = datetime(2027, 3, 1, 9, 30, tzinfo=UTC)
TEXT = "Send <b>prices</b> & call\nthe second line"
WORDS = {"email": "nina@example.com"}
KEY = "11111111-2222-4333-8444-555555555555"


def _known(house: Account, phone: str = KNOWN) -> Record:
    found = house.adapter.find_client(house.http, house.secrets, phone, 3.0)
    assert found is not None
    return Record(found.entity, found.entity_id, phone)


def _values(house: Account) -> dict[str, str]:
    return {each.name: WORDS.get(each.name, f"A {each.name}") for each in house.adapter.contact_fields}


def _read(house: Account, record: Record) -> dict[str, str]:
    return house.adapter.read_contact(house.http, house.secrets, record)


def _create(house: Account, **changes: Any) -> Any:
    contact = NewContact(PHONE, _values(house), house.crm.users[MANAGER], KEY)
    return house.adapter.create_contact(house.http, house.secrets, house.settings, replace(contact, **changes))


def test_what_is_declared_is_there(house: Account) -> None:
    adapter, able = house.adapter, house.adapter.able(house.secrets)
    assert able <= adapter.capabilities
    if Capability.CONTACTS in adapter.capabilities:
        assert Capability.CLIENT_LOOKUP in adapter.capabilities
        assert adapter.contact_fields[0].name == NAME
        assert all(str(each.title) for each in adapter.contact_fields)
        assert Capability.CONTACTS in able
    else:
        assert not adapter.contact_fields


@pytest.mark.parametrize(("slug", "key"), [("planfix", "rest_token"), ("altegio", "password")])
def test_an_account_without_the_keys_for_it_does_not_offer_it(house: Account, key: str) -> None:
    able = house.adapter.able({**house.secrets, key: ""})
    assert not able & {Capability.CONTACTS, Capability.TASKS}
    assert Capability.CLIENT_LOOKUP in able


@having(Capability.CONTACTS)
def test_a_new_client_is_known_by_his_phone(house: Account) -> None:
    made = _create(house)
    assert made.name == full_name(_values(house))
    record = _known(house, PHONE)
    assert (record.entity, record.entity_id) == (made.entity, made.entity_id)
    kept = house.crm.contact(PHONE)
    told = {name: value for name, value in _read(house, record).items() if value}
    assert told.items() <= kept.items()
    assert told.keys() >= {NAME, "email"}
    assert kept["responsible"] == house.crm.users[MANAGER]
    assert house.crm.violations == []


@having(Capability.CONTACTS)
def test_a_name_is_enough_for_a_new_client(house: Account) -> None:
    _create(house, values={NAME: "Nina"}, responsible="")
    assert house.crm.contact(PHONE)[NAME] == "Nina"
    assert house.crm.violations == []


@having(Capability.CONTACTS)
def test_what_is_changed_is_changed_and_nothing_else(house: Account) -> None:
    record = _known(house)
    before = _read(house, record)
    manager = house.crm.contact(KNOWN)["responsible"]
    for field in house.adapter.contact_fields:
        if field.fixed or field.name not in before:
            continue
        changed = {field.name: WORDS.get(field.name, f"Other {field.name}")}
        house.adapter.save_contact(house.http, house.secrets, record, changed)
        before |= changed
        assert _read(house, record) == before
    assert house.crm.contact(KNOWN).items() >= before.items()
    assert house.crm.contact(KNOWN)["responsible"] == manager
    assert _known(house) == record
    assert house.crm.violations == []


@having(Capability.CONTACTS)
def test_a_value_can_be_taken_away(house: Account) -> None:
    record = _known(house)
    names = [each.name for each in house.adapter.contact_fields if not each.fixed and each.name != NAME]
    for value in ("nina@example.com", ""):
        here = {name: value for name in names if name in _read(house, record)}
        house.adapter.save_contact(house.http, house.secrets, record, here)
        assert {name: _read(house, record)[name] for name in here} == here
    assert house.crm.violations == []


@having(Capability.CONTACTS)
def test_saving_twice_is_saving_once(house: Account) -> None:
    record = _known(house)
    for _time in range(2):
        house.adapter.save_contact(house.http, house.secrets, record, {NAME: "Mary"})
    assert _read(house, record)[NAME] == "Mary"
    assert house.crm.violations == []


@having(Capability.CONTACTS)
def test_what_the_crm_refuses_is_its_own_words(house: Account) -> None:
    gone = replace(_known(house), entity_id="999999999")
    with pytest.raises(OutboundError) as refused:
        _read(house, gone)
    assert isinstance(refused.value, Rejected), refused.value
    assert refused.value.words


@having(Capability.TASKS)
def test_a_task_is_set(house: Account) -> None:
    task = NewTask(_known(house), TEXT, DUE, house.crm.users[MANAGER], KEY)
    house.adapter.create_task(house.http, house.secrets, house.settings, task)
    (kept,) = house.crm.tasks_of(KNOWN)
    assert (kept.due_at, kept.person) == (DUE, house.crm.users[MANAGER])
    assert kept.text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == TEXT
    assert house.crm.violations == []


@pytest.mark.parametrize("fault", ["down", "reset", "lost", "html", "truncated"])
def test_whatever_becomes_of_an_answer_is_a_typed_error(house: Account, fault: str) -> None:
    """And where the request may have been carried out it is said so: then nobody repeats it blindly."""
    able = house.adapter.able(house.secrets)
    ways: list[Any] = []
    if Capability.CONTACTS in able:
        record = _known(house)
        change = (house.http, house.secrets, record, {NAME: "Mary"})
        ways = [lambda: _create(house), lambda: house.adapter.save_contact(*change), lambda: _read(house, record)]
    if Capability.TASKS in able:
        task = NewTask(_known(house), TEXT, DUE, house.crm.users[MANAGER], KEY)
        ways.append(lambda: house.adapter.create_task(house.http, house.secrets, house.settings, task))
    for way in ways:
        with house.crm.faulty(fault), pytest.raises(Temporary) as error:
            way()
        assert error.value.words


@pytest.mark.parametrize(
    ("slug", "kind"),
    [
        *((slug, "contact") for slug in slugs_having(Capability.CONTACTS)),
        *((slug, "task") for slug in slugs_having(Capability.TASKS)),
    ],
)
def test_what_may_have_been_made_is_said_to_be(house: Account, kind: str) -> None:
    """Each request in its turn loses its answer: whatever stands in the CRM then was made by one of unknown fate."""
    task = NewTask(_known(house), TEXT, DUE, house.crm.users[MANAGER], KEY)

    def make() -> Any:
        if kind == "contact":
            return _create(house)
        return house.adapter.create_task(house.http, house.secrets, house.settings, task)

    def made() -> bool:
        if kind == "task":
            return bool(house.crm.tasks_of(KNOWN))
        return house.adapter.find_client(house.http, house.secrets, PHONE, 3.0) is not None

    for number in range(6):
        with house.crm.faulty("lost", skip=number, count=1) as struck, pytest.raises(Temporary) as lost:
            make()
        assert struck.hits
        if made():
            assert lost.value.fate_unknown
            return
    raise AssertionError("never made")


@having(Capability.CONTACTS)
def test_a_token_that_is_over_is_renewed_first(house: Account) -> None:
    record = _known(house)
    house.crm.expire()
    try:
        _read(house, record)
    except TokenExpired:
        house.secrets |= dict(house.adapter.refresh(house.http, house.secrets))
        assert _read(house, record)[NAME]
