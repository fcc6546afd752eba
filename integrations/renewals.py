"""Links that give a credential new keys: sent to whoever has them, who needs no account here. Nothing but the keys is
changed, and only keys of the same CRM account are taken, so a link in wrong hands leads no call elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import structlog
from django import forms
from django.conf import settings
from django.core import signing
from django.db.models import F, Q, QuerySet
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext_noop as _

from employees.forms import vendor_form
from outbound.errors import CredentialsRefused, OutboundError, Rejected, TokenExpired
from telephony.hot import hot_write

from . import credentials, crm_lists, crm_setup, sync
from .models import Credential, Renewal

log = structlog.get_logger(__name__)

LIVES = timedelta(days=3)
MOST_TRIES = 10
ASK_SECONDS = 10.0
_signer = signing.Signer(salt="callbridge.renewal")
_ANOTHER = Rejected(_("these are keys of another account than the one connected here"), code="another_account")


# --- Links ------------------------------------------------------------------------------------------------------------


def possible(credential: Credential) -> bool:
    """Not where the account is named by its key alone: nobody could tell whether a new key is the same account's."""
    open_values = {k: v for k, v in credential.values.items() if k not in credential.adapter.secret_fields}
    return bool(credential.adapter.account(open_values))


def make(credential: Credential, by: str) -> Renewal:
    return Renewal.objects.create(credential=credential, made_by=by, expires_at=timezone.now() + LIVES)


def revoke(row: Renewal) -> None:
    _alive(Renewal.objects.filter(pk=row.pk)).update(revoked_at=timezone.now())


def address(row: Renewal) -> str:
    return f"{settings.PUBLIC_URL}/renew/{row.uuid}/{_signer.signature(str(row.uuid))}/"


def by_address(uuid: Any, proof: str) -> Renewal | None:
    """The link that lives at an address; None where it is forged or dead."""
    try:
        _signer.unsign(f"{uuid}:{proof}")
    except signing.BadSignature:
        return None
    return alive(uuid)


def alive(uuid: Any) -> Renewal | None:
    return _alive(Renewal.objects.filter(uuid=uuid)).select_related("credential__company").first()


def _alive(rows: QuerySet[Renewal]) -> QuerySet[Renewal]:
    unused = Q(used_at=None, revoked_at=None, tries__lt=MOST_TRIES)
    return rows.filter(unused, expires_at__gt=timezone.now())


def shown(credential: Credential) -> list[Renewal]:
    """The newest first. `address`: of those that live."""
    living = set(_alive(credential.renewals.all()).values_list("pk", flat=True))
    rows = list(credential.renewals.order_by("-pk")[:10])
    for row in rows:
        row.address = address(row) if row.pk in living else ""  # type: ignore[attr-defined]
    return rows


def count_try(row: Renewal) -> bool:
    """False when there were too many."""
    return bool(_alive(Renewal.objects.filter(pk=row.pk)).update(tries=F("tries") + 1))


# --- New keys ---------------------------------------------------------------------------------------------------------


def keys_form(credential: Credential, post: QueryDict | None) -> forms.Form:
    """The account's form with its secret fields alone, empty; what else it asks for stays as it is stored."""
    adapter, stored = credential.adapter, credential.values
    if post is not None:
        asked = post
        post = QueryDict(mutable=True)
        for name in adapter.credential_form.base_fields:
            post[name] = asked.get(name, "") if name in adapter.secret_fields else stored.get(name, "")
    form = vendor_form(adapter.credential_form, post, stored, adapter.secret_fields)
    for field in form.fields.values():
        field.may_be_forgotten = False  # type: ignore[attr-defined]
    return form


def take_keys(row: Renewal, entered: Mapping[str, Any], used_from: str) -> None:
    """Prove what was entered, then store it. Raises `outbound.errors`, and then nothing is changed."""
    credential = row.credential
    secret = {name: str(value) for name, value in entered.items() if name in credential.adapter.secret_fields and value}
    if all(credential.values.get(name) == value for name, value in secret.items()):
        raise Rejected(_("enter the new keys first"), code="nothing_new")
    new = {**secret, **_prove(credential, secret)}
    _compare(credential, new)
    store(row, new, used_from)


def _prove(credential: Credential, secret: Mapping[str, str]) -> Mapping[str, str]:
    """Ask the CRM whether it takes these; returns what it gave for them."""
    if not _hosts(secret.values()) <= _hosts(credential.values.values()) | set(credential.values.values()):
        raise _ANOTHER
    trial = copy(credential)
    trial.values = {**credential.values, **secret}
    adapter, http = trial.adapter, credentials.http_for(trial, purpose="check", deadline=ASK_SECONDS)
    given: Mapping[str, str] = {}
    try:
        checks = adapter.check(http, trial.values)
    except TokenExpired:
        given = adapter.refresh(http, trial.values)
        checks = adapter.check(http, {**trial.values, **given})
    if failed := [check for check in checks if not check.ok]:
        raise CredentialsRefused("; ".join(f"{check.name}: {check.cure}" for check in failed), code="check")
    return given


def to_the_crm(row: Renewal, *, anew: bool = False) -> str:
    """Where somebody goes to connect the account; empty where there is no such way. `anew`: whoever asks may choose
    the account, as one who manages does."""
    more = {"anew": "1"} if anew else {}
    return credentials.authorise_url(row.credential, None, renewal=str(row.uuid), **more)


def come_back(row: Renewal, query: Mapping[str, str], used_from: str, *, anew: bool = False) -> None:
    """Exchange what the CRM gave on the way back for tokens. Raises `outbound.errors`."""
    credential = row.credential
    http = credentials.http_for(credential, purpose="connect", deadline=ASK_SECONDS)
    secrets = credential.adapter.authorised(http, credential.values, query)
    if not anew:
        _compare(credential, secrets)
    store(row, secrets, used_from)


def store(row: Renewal, secrets: Mapping[str, str], used_from: str) -> None:
    """The link is used, the keys are new, and what waited flows. Setting up in the CRM may fail and is no reason to
    refuse them."""
    credential = row.credential
    with hot_write():
        if not _alive(Renewal.objects.filter(pk=row.pk)).update(used_at=timezone.now(), used_from=used_from[:64]):
            raise Rejected(_("this link has been used meanwhile"), code="used")
        credentials.store(credential, secrets)
    log.info("credential renewed by a link", credential=str(credential.uuid), renewal=str(row.uuid))
    sync.resume(credential)
    crm_lists.forget(credential)
    try:
        crm_setup.prepare(credential)
    except OutboundError as error:
        log.warning("the CRM was not set up completely", credential=str(credential.uuid), words=error.words)


def _compare(credential: Credential, new: Mapping[str, str]) -> None:
    before, adapter = credential.values, credential.adapter
    named = adapter.account(before)
    if named and adapter.account({**before, **new}) != named:
        raise _ANOTHER


def _hosts(values: Iterable[str]) -> set[str]:
    return {urlsplit(value).hostname or "" for value in values if "://" in value}
