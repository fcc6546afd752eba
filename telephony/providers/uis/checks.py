"""What must be true for a connection to work, tried one by one without changing anything at UIS.

Whether notifications are set up cannot be read: the customer builds them himself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo

from django.utils.translation import pgettext

from outbound.errors import AddressRefused, CredentialsRefused, OutboundError, RateLimited, Rejected
from telephony.providers.base import Check, PbxNumber, PbxUser
from telephony.providers.values import zone as zone_of

from . import data_api, simple_api
from .api import Api


def run(api: Api, zone: tzinfo, line: str) -> list[Check]:
    """The first request shows whether any of the others can succeed."""
    source = simple_api if api.simple else data_api
    users: Callable[[Api], list[PbxUser]] = source.users
    numbers: Callable[[Api], list[PbxNumber]] = source.numbers
    try:
        found = users(api)
    except OutboundError as error:
        return _until(error)
    told = [_address(), _token(), _extensions(found), _line(api, numbers, line)]
    # Of MegaFon only dialling is documented: there is nothing that could be tried without a call.
    return told if api.simple else [*told, _zone(api, zone), _commands(api)]


def _address(cure: str = "") -> Check:
    return Check(pgettext("UIS", "The server of the Data API answers"), not cure, cure)


def _token(cure: str = "") -> Check:
    return Check(pgettext("UIS", "The access token is accepted"), not cure, cure)


def _until(error: OutboundError) -> list[Check]:
    """The checks up to the one that failed."""
    if error.code == "ip_not_whitelisted":
        cure = pgettext("UIS", "Add our address to the white list of the API in your account.")
        return [_address(), _token(f"{cure} ({error.words})")]
    if isinstance(error, CredentialsRefused):
        cure = pgettext("UIS", "Make a new access token in your account and enter it here.")
        return [_address(), _token(f"{cure} ({error.words})")]
    if isinstance(error, RateLimited):
        cure = pgettext("UIS", "UIS takes no requests now: wait a minute, then check again.")
        return [_address(), _token(cure)]
    if isinstance(error, AddressRefused):
        return [_address(error.words)]
    cure = pgettext("UIS", "Check the address of the Data API and whether your tariff has it.")
    return [_address(f"{cure} ({error.words})")]


def _extensions(users: list[PbxUser]) -> Check:
    name = pgettext("UIS", "Employees have extensions")
    cure = pgettext("UIS", "Give the employees extensions in your account: calls are assigned by them.")
    found = any(user.extension for user in users)
    return Check(name, found, "" if found else cure)


def _line(api: Api, numbers: Callable[[Api], list[PbxNumber]], line: str) -> Check:
    name = pgettext("UIS", "The virtual number is one of yours")
    try:
        listed = [row.number for row in numbers(api)]
    except OutboundError as error:
        return Check(name, False, error.words)
    cure = pgettext("UIS", "Choose one of these as the virtual number: %(numbers)s")
    return Check(name, line in listed, "" if line in listed else cure % {"numbers": ", ".join(listed[:10]) or "—"})


def _zone(api: Api, zone: tzinfo) -> Check:
    name = pgettext("UIS", "The time zone is that of the account")
    try:
        told = data_api.timezone(api)
        theirs = datetime.now(UTC).astimezone(zone_of(told)).utcoffset() if told else None
    except OutboundError as error:
        return Check(name, False, error.words)
    except ValueError:
        theirs = None
    if theirs in (None, datetime.now(UTC).astimezone(zone).utcoffset()):
        return Check(name, True)
    cure = pgettext("UIS", "The account's time zone is %(zone)s: choose it here.")
    return Check(name, False, cure % {"zone": told})


def _commands(api: Api) -> Check:
    """The list of calls belongs to the component that transfers need; dialling works without it."""
    name = pgettext("UIS", "The Call API takes commands")
    try:
        api.command("list.calls")
    except Rejected as error:
        if error.code != "component_disabled":
            return Check(name, False, error.words)
        words = pgettext("UIS", "Calls cannot be transferred: the component “Call management” is not paid for.")
        return Check(name, True, f"{words} ({error.words})")
    except OutboundError as error:
        return Check(name, False, error.words)
    return Check(name, True)
