"""The users of a CRM account, for choices on our pages: asked with a deadline, remembered for a minute."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from django.core.cache import cache

from crm_adapters.base import Capability, CrmUser
from employees.models import Employee
from outbound.errors import DeadlineExceeded, OutboundError
from outbound.http import Answer, Http
from telephony.words import ERRORS, in_words

from . import credentials
from .models import Credential

SECONDS = 8.0
REMEMBERED = 60
SILENCE = 10
"""Seconds for which a CRM that did not answer is not asked again."""


@dataclass(slots=True)
class _Bounded(Http):
    """All requests together have one budget."""

    end: float = 0.0

    def request(self, method: str, url: str, **options: Any) -> Answer:
        left = self.end - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("no answer in time", code="timeout")
        options["deadline"] = min(left, options.get("deadline") or left)
        return Http.request(self, method, url, **options)


@dataclass(frozen=True)
class Found:
    """The users, or (`words`) why they are not known."""

    users: tuple[CrmUser, ...] = ()
    words: str = ""

    @property
    def silent(self) -> bool:
        return bool(self.words)

    @property
    def choices(self) -> list[tuple[str, str]]:
        return [("", "—"), *((user.id, user.name or user.id) for user in self.users if user.active)]


def of(credential: Credential) -> Found:
    """The users of an account. A CRM that is silent costs at most `SECONDS`, and that once in a while."""
    if Capability.USERS not in credential.adapter.capabilities:
        return Found()
    key = f"crm-users-{credential.uuid}-{credential.account_digest[:16]}"
    found: Found | None = cache.get(key)
    if found is None:
        found = _ask(credential)
        cache.set(key, found, SILENCE if found.silent else REMEMBERED)
    return found


def forget(credential: Credential) -> None:
    cache.delete(f"crm-users-{credential.uuid}-{credential.account_digest[:16]}")


def _ask(credential: Credential) -> Found:
    plain = credentials.http_for(credential, purpose="users", deadline=SECONDS)
    options = {item.name: getattr(plain, item.name) for item in fields(Http)}
    http = _Bounded(**options, end=time.monotonic() + SECONDS)
    try:
        users = credentials.speaking(credential, http, lambda secrets: credential.adapter.users(http, secrets))
    except OutboundError as error:
        return Found(words=in_words(ERRORS, error.kind))
    return Found(tuple(sorted(users, key=lambda user: user.name.casefold())))


def suggestion(employee: Employee, users: Iterable[CrmUser]) -> str:
    """The user who is most likely this employee: by extension, e-mail or name. `employee.extensions` is asked."""
    numbers = {row.number for row in employee.extensions.all()}
    active = [user for user in users if user.active]
    for same in (
        lambda user: user.extension and user.extension in numbers,
        lambda user: employee.email and user.email.casefold() == employee.email.casefold(),
        lambda user: _words(user.name) == _words(employee.name),
    ):
        matching = [user.id for user in active if same(user)]
        if len(matching) == 1:
            return matching[0]
    return ""


def _words(name: str) -> list[str]:
    """«Иванов Пётр» and «Пётр Иванов» are one person."""
    return sorted(name.casefold().replace("ё", "е").split())
