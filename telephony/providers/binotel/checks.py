"""What must be true for a connection to work, tried one by one without changing anything at Binotel."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from django.utils.translation import pgettext

from outbound.errors import AddressRefused, CredentialsRefused, OutboundError, RateLimited
from telephony.providers.base import Check, PbxUser

from . import directory, history
from .api import Api

_COMPARED = timedelta(hours=23)


def run(api: Api, company: str) -> list[Check]:
    """The first request shows whether any of the others can succeed."""
    try:
        users = directory.users(api)
    except OutboundError as error:
        return _until(error)
    return [_address(), _keys(), _extensions(users), _company(api, company)]


def _address(cure: str = "") -> Check:
    return Check(pgettext("Binotel", "Binotel's server answers"), not cure, cure)


def _keys(cure: str = "") -> Check:
    return Check(pgettext("Binotel", "The key and the secret are accepted"), not cure, cure)


def _until(error: OutboundError) -> list[Check]:
    """The checks up to the one that failed."""
    if isinstance(error, RateLimited):
        return [
            _address(),
            _keys(pgettext("Binotel", "Binotel takes no requests now: wait a minute, then check again.")),
        ]
    if isinstance(error, CredentialsRefused):
        cure = pgettext("Binotel", "Copy the key and the secret once more from the letter of Binotel's support.")
        return [_address(), _keys(f"{cure} ({error.words})")]
    if isinstance(error, AddressRefused):
        return [_address(error.words)]
    cure = pgettext("Binotel", "Check the field “Address”. For Binotel's own it is https://api.binotel.com.")
    return [_address(f"{cure} ({error.words})")]


def _extensions(users: list[PbxUser]) -> Check:
    name = pgettext("Binotel", "Employees have extensions")
    cure = pgettext("Binotel", "Give the employees internal numbers in Binotel's cabinet.")
    found = any(user.extension for user in users)
    return Check(name, found, "" if found else cure)


def _company(api: Api, company: str) -> Check:
    """Binotel tells the company's number with each call and nowhere else."""
    name = pgettext("Binotel", "The company ID is that of the account")
    now = datetime.now(UTC)
    try:
        told = {call.company for call in history.calls(api, now - _COMPARED, now) if call.company}
    except OutboundError as error:
        return Check(name, False, error.words)
    if not told:
        return Check(name, True, pgettext("Binotel", "There were no calls today to compare it with."))
    cure = pgettext("Binotel", "Calls of this account have the company ID %(id)s: enter it.")
    return Check(name, company in told, "" if company in told else cure % {"id": ", ".join(sorted(told))})
