"""What must be true for a connection to work, tried one by one without changing anything at Zadarma."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from django.utils.translation import pgettext

from outbound.errors import AddressRefused, CredentialsRefused, OutboundError, RateLimited
from telephony.providers.base import Check

from . import directory
from .api import Api


def run(api: Api, zone: tzinfo, webhook_url: str) -> list[Check]:
    """The first request shows whether any of the others can succeed."""
    try:
        offset = directory.utc_offset(api)
    except OutboundError as error:
        return _until(error)
    return [
        _address(),
        _keys(),
        _clock(offset, zone),
        _extensions(api),
        _numbers(api),
        _notifications(api, webhook_url),
    ]


def _address(cure: str = "") -> Check:
    return Check(pgettext("Zadarma", "Zadarma's server answers"), not cure, cure)


def _keys(cure: str = "") -> Check:
    return Check(pgettext("Zadarma", "The key and the secret are accepted"), not cure, cure)


def _until(error: OutboundError) -> list[Check]:
    """The checks up to the one that failed."""
    if isinstance(error, RateLimited):
        cure = pgettext("Zadarma", "Zadarma takes no requests now: wait a minute, then check again.")
        return [_address(), _keys(cure)]
    if isinstance(error, CredentialsRefused):
        cure = pgettext("Zadarma", "Copy the key and the secret once more: Settings → Integrations and API → Keys.")
        return [_address(), _keys(f"{cure} ({error.words})")]
    if isinstance(error, AddressRefused):
        return [_address(error.words)]
    cure = pgettext("Zadarma", "Check the field “Address”. For Zadarma's own it is https://api.zadarma.com.")
    return [_address(f"{cure} ({error.words})")]


def _clock(offset: timedelta | None, zone: tzinfo) -> Check:
    name = pgettext("Zadarma", "The time zone is that of the account")
    ours = datetime.now(UTC).astimezone(zone).utcoffset()
    if offset is None or ours is None or abs(offset - ours) < timedelta(minutes=5):
        return Check(name, True)
    cure = pgettext("Zadarma", "The account's clock is UTC%(hours)s: choose a time zone with that time here.")
    return Check(name, False, cure % {"hours": f"{offset.total_seconds() / 3600:+g}"})


def _extensions(api: Api) -> Check:
    name = pgettext("Zadarma", "Extensions can be read")
    try:
        found = directory.extensions(api)
    except OutboundError as error:
        return Check(name, False, error.words)
    cure = pgettext("Zadarma", "Create extensions in My PBX → Extensions.")
    return Check(name, bool(found), "" if found else cure)


def _numbers(api: Api) -> Check:
    name = pgettext("Zadarma", "Numbers can be read")
    try:
        found = directory.numbers(api)
    except OutboundError as error:
        return Check(name, False, error.words)
    return Check(name, True, "" if found else pgettext("Zadarma", "Zadarma lists no numbers of yours."))


def _notifications(api: Api, webhook_url: str) -> Check:
    """Whether calls are told here, all their events. (Recordings and keys pressed have no switch that can be read.)"""
    name = pgettext("Zadarma", "Notifications of calls come here")
    try:
        info = directory.callinfo(api)
    except OutboundError as error:
        return Check(name, False, error.words)
    if info.url.rstrip("/") != webhook_url.rstrip("/"):
        cure = pgettext(
            "Zadarma", "Enter this connection's address under Notifications of PBX calls; now it is: %(url)s"
        )
        return Check(name, False, cure % {"url": info.url or "—"})
    cure = pgettext("Zadarma", "Switch these notifications on: %(names)s")
    return Check(name, not info.missing, cure % {"names": ", ".join(info.missing)} if info.missing else "")
