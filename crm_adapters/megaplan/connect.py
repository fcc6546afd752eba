"""Connecting an account: what must be true. There is nothing to be set up in Megaplan by its API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from django.utils.translation import gettext as _

from crm_adapters.base import Check
from outbound.errors import CredentialsRefused, Rejected

from . import directory, failures, wire
from .api import Account

NOBODY = "70000000000"
"""A number that nobody has, to try whether clients may be looked up."""


def check(account: Account) -> list[Check]:
    """Some requests that change nothing. Raises what says nothing of the credential, and `TokenExpired` for the house
    to log in: that shows whether login and password are good."""
    return [Check(_("Megaplan accepts the login and the password"), ok=True), *_checks(account)]


def refused(error: CredentialsRefused) -> list[Check]:
    name = _("Megaplan accepts the login and the password")
    return [Check(name, ok=False, cure=failures.help_for(error) or error.words)]


def _checks(account: Account) -> Iterator[Check]:
    configs: list[wire.Config] = []

    def telephony() -> None:
        configs.extend(directory.configs(account))

    yield _tried(_("Telephony may be used"), telephony, failures.TELEPHONY_CLOSED)
    yield _numbers(configs)
    yield _tried(_("Employees can be read"), lambda: account.get("employee", {"limit": 1}))
    yield _tried(_("Clients can be looked up by number"), lambda: account.get("callRoute", {"phone": NOBODY}))
    yield _tried(_("Kinds of to-dos can be read"), lambda: account.get("todoCategory", {"limit": 1}))


def _tried(name: str, ask: Callable[[], Any], code: str = "") -> Check:
    try:
        ask()
    except Rejected as error:
        known = Rejected(error.words, code=code if code and error.code == failures.FORBIDDEN else error.code)
        return Check(name, ok=False, cure=f"{failures.help_for(known)} ({error.words})".strip())
    return Check(name, ok=True)


def _numbers(configs: list[wire.Config]) -> Check:
    """Whether the numbers can be matched at all. That they are those of the PBX, a person sees at a glance."""
    numbers = [row.number for row in configs if row.number]
    twice = sorted(number for number, count in Counter(numbers).items() if count > 1)
    if twice:
        cure = _("Several employees share one number in Megaplan's telephony: %s. Give each his own.")
        return Check(_("Each employee has a number of his own in Megaplan"), ok=False, cure=cure % ", ".join(twice))
    if not numbers:
        cure = _(
            "No employee has an internal number in Megaplan's telephony. Enter there the numbers that they have in the "
            "PBX; until then match the employees by hand on the integration's page."
        )
        return Check(_("Employees have internal numbers in Megaplan"), ok=False, cure=cure)
    name = _("Internal numbers in Megaplan, compare them with the PBX: %s")
    return Check(name % ", ".join(sorted(set(numbers))), ok=True)
