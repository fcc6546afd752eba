"""What must be true for a connection to work, tried one by one without changing anything at Phonet.

Where Phonet sends its events cannot be read.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.utils.translation import pgettext

from outbound.errors import AddressRefused, CredentialsRefused, OutboundError, RateLimited
from telephony.providers.base import Check

from . import directory, history
from .api import Api


def run(api: Api) -> list[Check]:
    """The first request shows whether any of the others can succeed."""
    try:
        api.session()
    except OutboundError as error:
        return _until(error)
    return [_address(), _key(), _employees(api), _history(api)]


def _address(cure: str = "") -> Check:
    return Check(pgettext("Phonet", "Phonet's server answers"), not cure, cure)


def _key(cure: str = "") -> Check:
    return Check(pgettext("Phonet", "The API key is accepted"), not cure, cure)


def _until(error: OutboundError) -> list[Check]:
    """The checks up to the one that failed."""
    if isinstance(error, RateLimited):
        cure = pgettext("Phonet", "Phonet takes no requests now: wait a minute, then check again.")
        return [_address(), _key(cure)]
    if isinstance(error, CredentialsRefused):
        cure = pgettext("Phonet", "Copy the address and the key once more: Settings → Integration → other CRM system.")
        return [_address(), _key(f"{cure} ({error.words})")]
    if isinstance(error, AddressRefused):
        return [_address(error.words)]
    cure = pgettext("Phonet", "Check the account address: it is like company.phonet.com.ua.")
    return [_address(f"{cure} ({error.words})")]


def _employees(api: Api) -> Check:
    name = pgettext("Phonet", "Employees can be read")
    try:
        found = directory.users(api)
    except OutboundError as error:
        return Check(name, False, error.words)
    cure = pgettext("Phonet", "Phonet lists no employees: create them there.")
    return Check(name, bool(found), "" if found else cure)


def _history(api: Api) -> Check:
    """Without it no call has a recording."""
    name = pgettext("Phonet", "The history of calls can be read")
    now = datetime.now(UTC)
    try:
        list(history.legs(api, now - timedelta(minutes=1), now))
    except OutboundError as error:
        return Check(name, False, error.words)
    return Check(name, True)
