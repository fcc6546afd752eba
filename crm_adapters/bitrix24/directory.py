"""Whom Bitrix24 knows: its users, and the client behind a telephone number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crm_adapters.base import ClientMatch, CrmUser
from outbound.errors import OutboundError

from . import wire
from .rest import MAX_COMMANDS, Command, Portal, Ref

PAGE = 50
MAX_USERS = 20_000
_PEOPLE = ("", "employee", "extranet")
"""USER_TYPE of those who can answer a call; the rest are bots and mail addresses."""
_AT_WORK = {"OPENED": True, "CLOSED": False, "PAUSED": False, "EXPIRED": False}
"""TIMEMAN_STATUS. The others (UNAVAILABLE, NOT_INSTALLED) say that nobody keeps the time."""
_FOUND = Ref("find", ("0", "CRM_ENTITY_ID"))


def users(portal: Portal) -> list[CrmUser]:
    """All active users: the first page tells how many there are, the others come in batches (50 a page)."""
    first = portal.answer("user.get", {"FILTER": {"ACTIVE": True}})
    found = wire.rows(wire.User, first.get("result"))
    total = min(wire.parse(_Total, first).total, MAX_USERS)
    starts = range(PAGE, total, PAGE)
    for begin in range(0, len(starts), MAX_COMMANDS):
        found += _pages(portal, starts[begin : begin + MAX_COMMANDS])
    return [_user(user) for user in found if user.ID and user.USER_TYPE in _PEOPLE]


class _Total(wire.Wire):
    total: wire.Number = 0


def _pages(portal: Portal, starts: Sequence[int]) -> list[wire.User]:
    """Raises the error of a page: a list with holes would unmap employees."""
    group = {f"p{start}": Command("user.get", {"FILTER": {"ACTIVE": True}, "start": start}) for start in starts}
    (answers,) = portal.run([group])
    for answer in answers.values():
        if isinstance(answer, OutboundError):
            raise answer
    return [user for answer in answers.values() for user in wire.rows(wire.User, answer)]


def _user(user: wire.User) -> CrmUser:
    phones = dict.fromkeys((user.WORK_PHONE, user.PERSONAL_MOBILE, user.PERSONAL_PHONE))
    return CrmUser(
        id=user.ID,
        name=f"{user.NAME} {user.LAST_NAME}".strip() or user.EMAIL or user.ID,
        extension=user.UF_PHONE_INNER,
        email=user.EMAIL,
        phones=tuple(filter(None, phones)),
        active=user.ACTIVE,
    )


def find_client(portal: Portal, phone: str, deadline: float) -> ClientMatch | None:
    """One request: the client, the user responsible for him with his extension and presence, and his open deals.

    Deals are asked for by the first match's id in the same batch, and believed only when that is a contact: the id of a
    lead or a company would be a stranger's. `telephony.externalCall.searchCrmEntities` answers in the order contact,
    lead, company.
    """
    (answers,) = portal.run([_search(phone)], deadline)
    found = answers["find"]
    if isinstance(found, OutboundError):
        raise found
    matches = [match for match in wire.rows(wire.Match, found) if match.CRM_ENTITY_TYPE and match.CRM_ENTITY_ID]
    return _client(matches, answers.get("deals")) if matches else None


def _search(phone: str) -> dict[str, Command]:
    deals = {
        "filter": {"CONTACT_ID": _FOUND, "CLOSED": "N"},
        "select": ["ID", "TITLE"],
        "order": {"ID": "DESC"},
        "start": -1,  # without counting all deals
    }
    return {
        "find": Command("telephony.externalCall.searchCrmEntities", {"PHONE_NUMBER": phone}),
        "deals": Command("crm.deal.list", deals),
    }


def _client(matches: Sequence[wire.Match], deals: Any) -> ClientMatch:
    first, manager = matches[0], matches[0].manager
    company = next((match for match in matches if match.CRM_ENTITY_TYPE == "COMPANY"), None)
    others = [match for match in matches[1:] if match is not company or first.CRM_ENTITY_TYPE != "CONTACT"]
    is_contact = first.CRM_ENTITY_TYPE == "CONTACT" and not isinstance(deals, OutboundError)
    return ClientMatch(
        entity=first.CRM_ENTITY_TYPE,
        entity_id=first.CRM_ENTITY_ID,
        name=first.NAME,
        manager=first.ASSIGNED_BY_ID or manager.ID,
        manager_extension=manager.USER_PHONE_INNER,
        manager_at_work=_AT_WORK.get(manager.TIMEMAN_STATUS),
        link=link(first.CRM_ENTITY_TYPE, first.CRM_ENTITY_ID),
        deals=tuple(deal.TITLE or deal.ID for deal in wire.rows(wire.Deal, deals)) if is_contact else (),
        company=company.NAME if company else "",
        others=tuple(f"{match.CRM_ENTITY_TYPE}:{match.CRM_ENTITY_ID} {match.NAME}".strip() for match in others),
    )


def link(kind: str, number: str) -> str:
    """The page of a record, relative to the portal's address."""
    return f"/crm/{kind.lower()}/details/{number}/"
