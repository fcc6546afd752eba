"""The keys of CRM accounts: how an account speaks, how its tokens are renewed, what happens when it refuses them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from django.core import signing
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from employees import installation
from outbound.errors import CredentialsRefused, OutboundError, Rejected, Temporary, TokenExpired
from outbound.http import Exchange as Masked
from outbound.http import Http
from telephony import exchanges
from telephony.hot import hot_write

from .models import Credential

log = structlog.get_logger(__name__)

T = TypeVar("T")

REFRESH_LEASE = timedelta(seconds=40)
REFRESH_WAIT = 15.0
STATE_SECONDS = 900
_signer = signing.TimestampSigner(salt="callbridge.oauth")


def http_for(credential: Credential, *, purpose: str, call_id: int | None = None, deadline: float = 15.0) -> Http:
    """How this account speaks to its CRM; every exchange is written down at once."""

    def record(masked: Masked) -> None:
        row = exchanges.row_of(
            masked,
            company_id=credential.company_id,
            vendor=credential.crm,
            account=credential.uuid,
            purpose=purpose,
        )
        with hot_write():
            exchanges.write([(row, [call_id] if call_id else [])])

    return exchanges.open_http(secrets=credential.secret_values, record=record, deadline=deadline)


def authorise_url(credential: Credential, user_id: int | None, **more: str) -> str:
    """Where `user_id` goes to connect the account; empty where there is no such way. `more` comes back with him."""
    state = _signer.sign_object({"credential": str(credential.uuid), "user": user_id, **more})
    return credential.adapter.authorise_url(credential.values, state)


def authorised_state(state: str) -> dict[str, Any]:
    """Credential and user of somebody who comes back from there; raises `signing.BadSignature` when it is not ours
    or too old."""
    return _signer.unsign_object(state, max_age=STATE_SECONDS)


def speaking(credential: Credential, http: Http, work: Callable[[dict[str, str]], T]) -> T:
    """Do `work` with the account's secrets; when its token is over renew it and do `work` once more.

    Raises what `work` raises; an account whose keys are refused is marked.
    """
    values = credential.values
    try:
        try:
            return work(values)
        except TokenExpired:
            return work(renew(credential, values, http))
    except CredentialsRefused as error:
        refuse(credential, error)
        raise


def besides(credential: Credential, http: Http, work: Callable[[dict[str, str]], T]) -> T:
    """The same for what needs a right that we need for nothing else: when it is refused the account goes on.

    Raises what `work` raises, and `Rejected` for such a refusal.
    """

    def tolerantly(secrets: dict[str, str]) -> T:
        try:
            return work(secrets)
        except TokenExpired:
            raise
        except CredentialsRefused as error:
            raise Rejected(error.words, code=error.code) from error

    return speaking(credential, http, tolerantly)


def renew(credential: Credential, stale: dict[str, str], http: Http) -> dict[str, str]:
    """New secrets for `stale` ones: one renewal at a time over all processes, stored before anybody uses them.

    Whoever comes second takes what the first one stored. Raises `CredentialsRefused` when the CRM refuses to renew
    (the account is marked), `Temporary` when the renewal of another process does not end.
    """
    end = time.monotonic() + REFRESH_WAIT
    while True:
        if _lease(credential):
            return _renew_leased(credential, stale, http)
        credential.refresh_from_db()
        if credential.values != stale:
            return credential.values
        if time.monotonic() > end:
            raise Temporary(_("another process is renewing the token and does not come to an end"), code="renewing")
        time.sleep(0.1)


def _lease(credential: Credential) -> bool:
    now = timezone.now()
    free = Credential.objects.filter(pk=credential.pk).filter(Q(refresh_lease=None) | Q(refresh_lease__lt=now))
    with hot_write():
        return bool(free.update(refresh_lease=now + REFRESH_LEASE))


def _renew_leased(credential: Credential, stale: dict[str, str], http: Http) -> dict[str, str]:
    try:
        credential.refresh_from_db()
        if credential.values == stale:
            changes = credential.adapter.refresh(http, credential.values)
            store(credential, changes)
        return credential.values
    except CredentialsRefused as error:
        refuse(credential, error)
        raise
    finally:
        Credential.objects.filter(pk=credential.pk).update(refresh_lease=None)


def store(credential: Credential, changes: Mapping[str, Any]) -> None:
    """Merge new secrets into a credential; it counts as connected from now on."""
    with hot_write():
        locked = Credential.objects.select_for_update(no_key=True).get(pk=credential.pk)
        account = locked.account_digest
        locked.values = {**locked.values, **changes}
        locked.state, locked.state_words, locked.stored_at = Credential.State.READY, "", timezone.now()
        changed = ["secrets", "account_digest", "domain", "state", "state_words", "stored_at", "webhook_digest"]
        locked.save(update_fields=changed)
        if locked.account_digest != account:
            installation.changed()  # what is remembered of its integrations names the account
    credential.refresh_from_db()


def refuse(credential: Credential, error: OutboundError) -> None:
    """The CRM refuses the keys: the account pauses, its calls wait, the customer sees why."""
    log.warning("credentials refused", credential=str(credential.uuid), words=error.words)
    Credential.objects.filter(pk=credential.pk).update(
        state=Credential.State.REFUSED, state_words=f"{error.code} {error.words}".strip()
    )
    credential.refresh_from_db()
