"""Planfix's contacts by telephone number: found, created, made somebody's.

The filter by phone (4003) is "contains" and stored numbers are digits only, so every hit is compared; companies are
another list than people (REST API, complex filters of contacts).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from crm_adapters.base import ClientMatch, CrmUser
from outbound.errors import PASSING, Rejected
from outbound.http import Http

from . import address, failures, people, rest, voip
from .rest import Account

PHONE = 4003
_FIELDS = "id,name,midname,lastname,isCompany,phones,supervisors"
_NATIONAL = 10
"""Digits that a number has without its country, in the countries where it may be stored with 7 or with 8 before it."""
_RUSSIAN = 11


def search(account: Account, phone: str, deadline: float | None = None) -> list[dict[str, Any]]:
    """Contacts with this phone (E.164), people before companies; two requests when no person has it."""
    digits = people.digits(phone)
    for company in (False, True):
        body = {
            "offset": 0,
            "pageSize": rest.PAGE,
            **({"isCompany": True} if company else {}),
            "fields": _FIELDS,
            "filters": [rest.filter_of(PHONE, _asked(digits))],
        }
        rows = rest.rows_of(account.read("contact/list", body, deadline), "contacts")
        if found := [row for row in rows if _has(row, digits)]:
            return sorted(found, key=lambda row: (not supervisors(row), -rest.number_of(row)))
    return []


def _is_russian(digits: str) -> bool:
    return len(digits) == _RUSSIAN and digits[0] == "7"


def _asked(digits: str) -> str:
    """What every spelling of a number contains."""
    return digits[-_NATIONAL:] if _is_russian(digits) else digits


def _has(row: Mapping[str, Any], digits: str) -> bool:
    spellings = {digits, f"8{digits[1:]}", digits[1:]} if _is_russian(digits) else {digits}
    return any(people.digits(str(each.get("number") or "")) in spellings for each in rest.rows_of(row, "phones"))


def supervisors(row: Mapping[str, Any]) -> list[str]:
    """«Ответственный»: ids of users (`user:5`)."""
    found = row.get("supervisors")
    users = rest.rows_of(found, "users") if isinstance(found, dict) else []
    return [rest.prefixed(str(user["id"])) for user in users if user.get("id")]


def name_of(row: Mapping[str, Any]) -> str:
    return " ".join(str(row[part]) for part in ("name", "midname", "lastname") if row.get(part))


# --- Whose client is this? --------------------------------------------------------------------------------------------


def find(http: Http, secrets: Mapping[str, str], phone: str, deadline: float) -> ClientMatch | None:
    """By the telephony API in one request, which knows the responsible's short number; who he is as a user only REST
    knows, and is asked only of a known client, where there is a token and time."""
    end = time.monotonic() + deadline
    if not address.has_voip(secrets):
        return _by_rest(Account.of(http, secrets), phone, deadline)
    found = voip.Telephony.of(http, secrets).contact(people.digits(phone), deadline=deadline)
    name, short = str(found.get("contact_name") or ""), str(found.get("responsible") or "")
    if not name:
        return None  # how a stranger is answered is not documented; a public client reads it like this
    told = ClientMatch(entity="phone", entity_id=people.digits(phone), name=name, manager_extension=short)
    left = end - time.monotonic()
    if not secrets.get("rest_token") or left <= 0:
        return told
    try:
        known = _by_rest(Account.of(http, secrets), phone, left)
    except (*PASSING, Rejected):
        return told
    return told if known is None else _both(told, known)


def _both(told: ClientMatch, known: ClientMatch) -> ClientMatch:
    return ClientMatch(
        entity=known.entity,
        entity_id=known.entity_id,
        name=told.name,
        manager=known.manager,
        manager_extension=told.manager_extension,
        others=known.others,
    )


def _by_rest(account: Account, phone: str, deadline: float) -> ClientMatch | None:
    rows = search(account, phone, deadline)
    if not rows:
        return None
    first, *others = rows
    return ClientMatch(
        entity="contact",
        entity_id=str(rest.number_of(first)),
        name=name_of(first),
        manager=next(iter(supervisors(first)), ""),
        others=tuple(f"contact:{rest.number_of(row)} {name_of(row)}".strip() for row in others),
    )


# --- Employees --------------------------------------------------------------------------------------------------------


def users(account: Account) -> list[CrmUser]:
    """Active employees. Their short numbers stand in the telephony's settings alone: REST does not tell them."""
    body = {"onlyActive": True, "prefixedId": True, "fields": "id,name,lastname,email,login,status,phones"}
    return [_user(row) for row in account.pages("user/list", "users", body) if row.get("id")]


def _user(row: Mapping[str, Any]) -> CrmUser:
    phones = [str(each.get("number") or "") for each in rest.rows_of(row, "phones")]
    ident = rest.prefixed(str(row["id"]))
    return CrmUser(
        id=ident,
        name=name_of(row) or str(row.get("login") or ident),
        email=str(row.get("email") or ""),
        phones=tuple(f"+{number}" for number in filter(None, phones)),
    )


# --- Changing them ----------------------------------------------------------------------------------------------------


def create(
    account: Account,
    phone: str,
    key: str,
    *,
    template: str,
    responsible: Sequence[str],
    more: Mapping[str, str] | None = None,
) -> int:
    """A contact with its number, which is its name as well unless `more` has one: a name is mandatory."""
    body: dict[str, Any] = {"template": {"id": int(template)}} if template else {}
    body |= {
        "name": phone,
        "isCompany": False,
        "phones": [{"number": people.digits(phone), "type": 1}],
        "sourceObjectId": key,
        **(more or {}),
    }
    if responsible:
        body["supervisors"] = rest.people(responsible)
    try:
        return rest.number_of(account.change("contact/", body))
    except Rejected as error:
        if error.code != failures.BAD_VALUE or not template:
            raise
    # Older specifications spell the template like this; a refused request has created nothing.
    del body["template"]
    return rest.number_of(account.change("contact/", {"templateId": int(template), **body}))


def assign(account: Account, contact: int, user: str) -> None:
    """«Ответственный» of a contact, and nobody besides. Nobody is told of it."""
    account.change(f"contact/{contact}", {"supervisors": rest.people([user])}, silent=True)
