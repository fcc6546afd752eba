"""Connecting an account: what must be true, on either door; nothing is changed by looking."""

from __future__ import annotations

import hmac
from collections.abc import Iterator, Mapping

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, pgettext

from crm_adapters.base import Check, Settings
from outbound.errors import CredentialsRefused, Rejected
from outbound.http import Http

from . import address, entries, failures, voip, written
from .rest import Account

NEEDING_REST = ("responsible", "task_after")


def check(http: Http, secrets: Mapping[str, str]) -> list[Check]:
    """A line for each precondition. Raises what says nothing of the credential (no connection, no time)."""
    found = list(_telephony(http, secrets)) if address.has_voip(secrets) or not secrets.get("rest_token") else []
    return found + (list(_rest(http, secrets)) if secrets.get("rest_token") else [])


def _telephony(http: Http, secrets: Mapping[str, str]) -> Iterator[Check]:
    name = _("Planfix's telephony accepts our requests")
    try:
        told = voip.Telephony.of(http, secrets).ping()
    except (CredentialsRefused, Rejected) as error:
        yield Check(name, ok=False, cure=failures.help_for(error) or error.words)
        return
    yield Check(name, ok=True)
    typed, ours = str(told.get("pbxToken") or ""), secrets.get("token", "")
    same = bool(ours) and hmac.compare_digest(typed.encode(), ours.encode())
    cure = _("Copy our key from this page into Planfix («Ключ авторизации АТС») and save there.")
    yield Check(_("Planfix has our key"), same, "" if same else cure)


def _rest(http: Http, secrets: Mapping[str, str]) -> Iterator[Check]:
    name = _("Planfix's REST API accepts the token")
    try:
        account = Account.of(http, secrets)
        account.read("user/list", {"offset": 0, "pageSize": 1, "onlyActive": True, "fields": "id"})
    except (CredentialsRefused, Rejected) as error:
        yield Check(name, ok=False, cure=failures.help_for(error) or error.words)
        return
    yield Check(name, ok=True)
    yield _tried(_("Contacts can be read"), account, "contact/list")
    yield _tried(_("Tasks can be read"), account, "task/list")
    yield from _data_tags(account)


def _tried(name: str, account: Account, path: str) -> Check:
    try:
        account.read(path, {"offset": 0, "pageSize": 1, "fields": "id"})
    except (CredentialsRefused, Rejected) as error:
        return Check(name, ok=False, cure=failures.help_for(error) or error.words)
    return Check(name, ok=True)


# --- Data tags --------------------------------------------------------------------------------------------------------


def _data_tags(account: Account) -> Iterator[Check]:
    """Type and order of the fields of both data tags, with what to mend."""
    entries.forget(account)
    try:
        found = entries.definitions(account)
    except (CredentialsRefused, Rejected) as error:
        yield Check(_("Data tags can be read"), ok=False, cure=failures.help_for(error) or error.words)
        return
    for kind, title in entries.NAMES.items():
        tag = found.get(kind)
        wrong = entries.wrong_fields(tag, kind)
        name = _("The data tag «%s» has the fields that Planfix fills in") % title
        yield Check(name, not wrong, _cure(tag, kind) if wrong else "")


def _cure(tag: entries.Tag | None, kind: str) -> str:
    if tag is None:
        return _("Planfix makes this data tag when telephony is switched on first: switch it on once.")
    fields = zip(entries.TITLES[kind], entries.FIELDS[kind], strict=True)
    wanted = ", ".join(f"{n}. {title} ({_type(each)})" for n, (title, each) in enumerate(fields, 1))
    numbers = ", ".join(map(str, entries.wrong_fields(tag, kind)))
    words = _("Mend the order; the fields must be: %(wanted)s. Wrong or missing: %(numbers)s.")
    return words % {"wanted": wanted, "numbers": numbers}


def _type(number: int) -> str:
    names = {
        entries.STRING: pgettext("Planfix", "String"),
        entries.NUMBER: pgettext("Planfix", "Number"),
        entries.DATE: pgettext("Planfix", "Date"),
        entries.DATE_TIME: pgettext("Planfix", "Date and time"),
        entries.PERIOD: pgettext("Planfix", "Period of time"),
        entries.LIST: pgettext("Planfix", "List"),
        entries.CONTACT: pgettext("Planfix", "Contact"),
        entries.ANYBODY: pgettext("Planfix", "Group, employee or contact"),
    }
    return names[number]


# --- Set-up -----------------------------------------------------------------------------------------------------------


def prepare(secrets: Mapping[str, str], settings: Settings) -> None:
    """Nothing is set up in Planfix by request: look whether there is what the settings need. Raises what is missing."""
    if needs_rest(settings) and not secrets.get("rest_token"):
        raise Rejected(gettext_noop("the settings need a REST token"), code=failures.NO_TOKEN)
    if settings.get("mode", written.VOIP) == written.VOIP and not address.has_voip(secrets):
        raise Rejected(gettext_noop("Planfix has not told its address and key yet"), code="not_set_up")


def needs_rest(settings: Settings) -> bool:
    attaches = settings.get("attach_to", "planfix") != "planfix"
    return settings.get("mode") == written.REST or attaches or any(settings.get(name) for name in NEEDING_REST)
