"""What must be true for a connection to work, tried one by one without changing anything at the PBX.

Where the PBX sends its notifications, and with which key, cannot be read from it.
"""

from __future__ import annotations

from django.utils.translation import pgettext

from outbound.errors import AddressRefused, CredentialsRefused, OutboundError, RateLimited
from telephony.providers.base import Check

from . import directory
from .api import Api
from .directory import Staff


def run(api: Api) -> list[Check]:
    """The first request shows whether any of the others can succeed."""
    try:
        staff = directory.staff(api)
    except OutboundError as error:
        return _until(error)
    return [_address(), _key(), _users(staff), _numbers(api, staff)]


def _address(cure: str = "") -> Check:
    return Check(pgettext("iTooLabs Communications Server", "The PBX answers at this address"), not cure, cure)


def _key(cure: str = "") -> Check:
    return Check(pgettext("iTooLabs Communications Server", "The key of the PBX is accepted"), not cure, cure)


def _until(error: OutboundError) -> list[Check]:
    """The checks up to the one that failed."""
    if isinstance(error, RateLimited):
        cure = pgettext(
            "iTooLabs Communications Server", "The PBX takes no requests now: wait a minute, then check again."
        )
        return [_address(), _key(cure)]
    if isinstance(error, CredentialsRefused):
        cure = pgettext(
            "iTooLabs Communications Server",
            "Copy the field “Key for authorisation in your PBX” once more; the integration must be switched on.",
        )
        return [_address(), _key(f"{cure} ({error.words})")]
    if isinstance(error, AddressRefused):
        return [_address(error.words)]
    cure = pgettext(
        "iTooLabs Communications Server", "Copy the field “Address of your PBX” from the cabinet once more."
    )
    return [_address(f"{cure} ({error.words})")]


def _users(staff: Staff) -> Check:
    """Who has no short number can be called by us all the same, and is known by his login."""
    name = pgettext("iTooLabs Communications Server", "Employees can be read")
    if not staff.users:
        return Check(
            name, False, pgettext("iTooLabs Communications Server", "Create employees in the cabinet of the PBX.")
        )
    nameless = sorted(user.vendor_id for user in staff.users if user.extension == user.vendor_id)
    cure = pgettext("iTooLabs Communications Server", "Without a short number, known by their logins: %(names)s")
    return Check(name, True, cure % {"names": ", ".join(nameless)} if nameless else "")


def _numbers(api: Api, staff: Staff) -> Check:
    name = pgettext("iTooLabs Communications Server", "Numbers can be read")
    if not staff.rest:
        return Check(
            name,
            True,
            pgettext(
                "iTooLabs Communications Server",
                "This PBX has the older interface alone, which does not tell them: enter your numbers yourself.",
            ),
        )
    try:
        found = directory.numbers(api)
    except OutboundError as error:
        return Check(name, False, error.words)
    none = pgettext("iTooLabs Communications Server", "The PBX lists no numbers of yours.")
    return Check(name, True, "" if found else none)
