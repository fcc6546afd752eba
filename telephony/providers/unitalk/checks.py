"""What must be true for a connection to work, as far as UniTalk can be asked. It does not tell where its events go."""

from __future__ import annotations

from django.utils.translation import pgettext

from outbound.errors import AddressRefused, CredentialsRefused, OutboundError, RateLimited, Rejected
from telephony.providers.base import Check, PbxUser

from . import directory
from .api import Api


def run(api: Api) -> list[Check]:
    """One request shows it all: they are charged for."""
    try:
        users = directory.users(api)
    except OutboundError as error:
        return _until(error)
    return [_address(), _key(), _lines(users)]


def _address(cure: str = "") -> Check:
    return Check(pgettext("UniTalk", "UniTalk's server answers"), not cure, cure)


def _key(cure: str = "") -> Check:
    return Check(pgettext("UniTalk", "The API key is accepted"), not cure, cure)


def _lines(users: list[PbxUser]) -> Check:
    cure = pgettext("UniTalk", "Give your users internal lines in the UniTalk cabinet.")
    return Check(pgettext("UniTalk", "Users with internal lines can be read"), bool(users), "" if users else cure)


def _until(error: OutboundError) -> list[Check]:
    """The checks up to the one that failed."""
    if isinstance(error, RateLimited):
        cure = pgettext("UniTalk", "UniTalk takes no requests now: wait a minute, then check again.")
        return [_address(), _key(cure)]
    if isinstance(error, CredentialsRefused):
        cure = pgettext("UniTalk", "Copy the API key once more from the page “API” of the UniTalk cabinet.")
        return [_address(), _key(f"{cure} ({error.words})")]
    if isinstance(error, AddressRefused):
        return [_address(error.words)]
    if isinstance(error, Rejected):
        return [_address(), _key(error.words)]
    cure = pgettext("UniTalk", "Check the field “Address”. UniTalk's own is https://api.unitalk.cloud/api.")
    return [_address(f"{cure} ({error.words})")]
