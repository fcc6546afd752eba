"""What must be true for a connection to work, tried one by one without changing anything at Mango."""

from __future__ import annotations

from django.utils.translation import npgettext, pgettext

from outbound.errors import AddressRefused, CredentialsRefused, OutboundError, RateLimited, Rejected
from telephony.providers.base import Check, PbxUser

from . import codes, directory
from .api import Api


def run(api: Api) -> list[Check]:
    """Two requests at most: the second is left out when the first shows that it would fail as well."""
    try:
        people = directory.users(api)
    except OutboundError as error:
        return _until(error)
    return [_address(), _key(), _users(people), _lines(api)]


def _address(cure: str = "") -> Check:
    return Check(pgettext("Mango", "Mango's server answers"), not cure, cure)


def _key(cure: str = "") -> Check:
    return Check(pgettext("Mango", "The code and the secret are accepted"), not cure, cure)


def _until(error: OutboundError) -> list[Check]:
    """The checks up to the one that failed."""
    if isinstance(error, (CredentialsRefused, RateLimited)):
        return [_address(), _key(_key_cure(error))]
    if isinstance(error, Rejected) and not isinstance(error, AddressRefused):
        return [_address(), _key(), Check(_users_name(), False, error.words)]
    cure = pgettext("Mango", "Check the field “Address”. For Mango's own cloud it is https://app.mango-office.ru.")
    return [_address(f"{cure} ({error.words})")]


def _key_cure(error: OutboundError) -> str:
    if isinstance(error, RateLimited):
        seconds = round(error.retry_after or 0)
        locked = pgettext("Mango", "Mango takes no requests now. Wait %(seconds)s s, then check again.")
        return locked % {"seconds": seconds}
    if codes.means(error, codes.KEY_WRONG):
        return pgettext("Mango", "Mango does not know this code: copy the unique code of your PBX once more.")
    if codes.means(error, codes.SIGNATURE_WRONG):
        return pgettext("Mango", "The secret does not fit: copy the key for making the signature once more.")
    return pgettext("Mango", "Mango refuses our address: clear the list of allowed IP addresses in its API settings.")


def _users_name() -> str:
    return pgettext("Mango", "Employees can be read and have extensions")


def _users(people: list[PbxUser]) -> Check:
    without = sum(not person.extension for person in people)
    if len(people) == without:
        return Check(_users_name(), False, pgettext("Mango", "Give your employees extensions in Mango's cabinet."))
    hint = npgettext(
        "Mango",
        "%(count)d employee has no extension and cannot be mapped or called.",
        "%(count)d employees have no extension and cannot be mapped or called.",
        without,
    )
    return Check(_users_name(), True, hint % {"count": without} if without else "")


def _lines(api: Api) -> Check:
    name = pgettext("Mango", "Numbers can be read")
    try:
        lines = directory.numbers(api)
    except OutboundError as error:
        return Check(name, False, error.words)
    return Check(name, True, "" if lines else pgettext("Mango", "Mango lists no numbers of yours."))
