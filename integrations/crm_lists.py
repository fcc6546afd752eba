"""What a CRM account has to choose from on our pages (its users, pipelines, templates …): asked with a deadline,
remembered for a minute."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from django.core.cache import cache

from crm_adapters.base import Capability, Choice, CrmUser
from employees import phones
from employees.models import Employee
from outbound.errors import DeadlineExceeded, OutboundError
from outbound.http import Answer, Http
from telephony.words import ERRORS, in_words

from . import credentials
from .models import Credential

USERS = "users"
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
    """What there is to choose from, or (`words`) why that is not known. `users` where the list is that of people."""

    listed: tuple[Choice, ...] = ()
    users: tuple[CrmUser, ...] = ()
    words: str = ""

    @property
    def silent(self) -> bool:
        return bool(self.words)

    @property
    def choices(self) -> list[tuple[str, str]]:
        return [("", "—"), *((each.id, each.name or each.id) for each in self.listed)]


def of(credential: Credential, source: str = USERS) -> Found:
    """A list of an account. A CRM that is silent costs at most `SECONDS`, and that once in a while."""
    if source == USERS and Capability.USERS not in credential.adapter.capabilities:
        return Found()
    known: dict[str, Found] = cache.get(_key(credential)) or {}
    if source not in known:
        known[source] = found = _ask(credential, source)
        cache.set(_key(credential), known, SILENCE if found.silent else REMEMBERED)
    return known[source]


def forget(credential: Credential) -> None:
    cache.delete(_key(credential))


def _key(credential: Credential) -> str:
    return f"crm-lists-{credential.uuid}-{credential.account_digest[:16]}"


def _ask(credential: Credential, source: str) -> Found:
    plain = credentials.http_for(credential, purpose=source if source == USERS else "list", deadline=SECONDS)
    options = {item.name: getattr(plain, item.name) for item in fields(Http)}
    http = _Bounded(**options, end=time.monotonic() + SECONDS)
    adapter = credential.adapter
    try:
        if source != USERS:
            return Found(
                tuple(credentials.speaking(credential, http, lambda secrets: adapter.choices(http, secrets, source)))
            )
        users = credentials.speaking(credential, http, lambda secrets: adapter.users(http, secrets))
    except OutboundError as error:
        return Found(words=in_words(ERRORS, error.kind))
    users.sort(key=lambda user: user.name.casefold())
    return Found(tuple(Choice(user.id, user.name) for user in users if user.active), tuple(users))


def suggestion(employee: Employee, users: Iterable[CrmUser]) -> str:
    """The user who is most likely this employee: by extension, e-mail, phone or name. His `extensions` and `phones` are
    asked."""
    numbers = {row.number for row in employee.extensions.all()}
    own, region = {row.phone for row in employee.phones.all()}, employee.company.region
    active = [user for user in users if user.active]
    for same in (
        lambda user: user.extension and user.extension in numbers,
        lambda user: employee.email and user.email.casefold() == employee.email.casefold(),
        lambda user: own & {phones.normalise(phone, region) for phone in user.phones},
        lambda user: _words(user.name) == _words(employee.name),
    ):
        matching = [user.id for user in active if same(user)]
        if len(matching) == 1:
            return matching[0]
    return ""


def _words(name: str) -> list[str]:
    """«Иванов Пётр» and «Пётр Иванов» are one person."""
    return sorted(name.casefold().replace("ё", "е").split())
