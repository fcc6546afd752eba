"""Connecting a portal: what must be true, and what is set up there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.utils.translation import gettext as _

from crm_adapters.base import Check
from outbound.errors import CredentialsRefused, OutboundError, TokenExpired
from outbound.http import Http

from . import events, failures, wire
from .calls import STATISTICS
from .rest import MAX_COMMANDS, Answers, Command, Portal
from .steps import digits

LINES = "telephony.externalLine"
SCOPES = ("telephony", "crm", "im")
"""Permissions without which something fails. `user` or `user_basic` is tried by asking for a user."""
_PROBES = {
    "line": Command(f"{LINES}.get", {}),
    "app": Command("app.info", {}),
    "scope": Command("scope", {}),
    "users": Command("user.get", {"FILTER": {"ID": "1"}}),
    "calls": Command(STATISTICS, {"FILTER": {"CALL_ID": "callbridge"}}),
}


def check(http: Http, secrets: Mapping[str, str]) -> list[Check]:
    """One request that changes nothing. Raises what says nothing of the credential (no connection, no time)."""
    try:
        portal = Portal.of(http, secrets)
        (answers,) = portal.run([_PROBES])
    except TokenExpired:
        raise  # the house refreshes and comes again
    except CredentialsRefused as error:
        return [Check(_("Bitrix24 accepts the keys"), ok=False, cure=failures.help_for(error) or error.words)]
    return [Check(_("Bitrix24 accepts the keys"), ok=True), *_checks(portal, answers)]


def _checks(portal: Portal, answers: Answers) -> Iterator[Check]:
    yield _tried(_("Telephony may be used"), answers["line"])
    if portal.token and not isinstance(answers["app"], OutboundError):
        installed = wire.parse(wire.AppInfo, answers["app"]).INSTALLED
        cure = _("Finish the installation in Bitrix24: until then it sends no events.")
        yield Check(_("The application is installed"), installed, "" if installed else cure)
    if isinstance(answers["scope"], list):
        missing = [name for name in SCOPES if name not in answers["scope"]]
        cure = _("Permissions are missing: %s. Give them in the application's card and install it again.")
        yield Check(_("The permissions are sufficient"), not missing, cure % ", ".join(missing) if missing else "")
    yield _tried(_("Employees can be read"), answers["users"])
    yield _tried(_("The statistics of calls can be read"), answers["calls"])


def _tried(name: str, answer: Any) -> Check:
    if isinstance(answer, TokenExpired):
        raise answer
    if isinstance(answer, OutboundError):
        return Check(name, ok=False, cure=failures.help_for(answer) or answer.words)
    return Check(name, ok=True)


def prepare(portal: Portal, handler_url: str, lines: Mapping[str, str], *, creates: bool = True) -> None:
    """Subscribe to events and add the lines, in one request for up to 46 lines. What is there already is fine.

    `creates`: whether a click on an unknown number creates a record in the CRM (a line's CRM_AUTO_CREATE). A
    webhook cannot subscribe: it gets the lines alone. Raises the first other error.
    """
    commands: dict[str, Command] = {}
    for number, event in enumerate(events.BOUND if portal.token else (), 1):
        commands[f"ev{number}"] = Command("event.bind", {"event": event, "handler": handler_url})
    telephones = sorted((line, title) for line, title in lines.items() if digits(line))  # a SIP line has no number
    for number, (line, title) in enumerate(telephones):
        params = {"NUMBER": digits(line), "NAME": title or line, "CRM_AUTO_CREATE": "Y" if creates else "N"}
        commands[f"line{number or ''}"] = Command(f"{LINES}.add", params)
    keys = list(commands)
    for begin in range(0, len(keys), MAX_COMMANDS):
        group = {key: commands[key] for key in keys[begin : begin + MAX_COMMANDS]}
        (answers,) = portal.run([group])
        for key, answer in answers.items():
            if isinstance(answer, OutboundError) and not _may_fail(group[key], answer):
                raise answer


def _may_fail(command: Command, error: OutboundError) -> bool:
    """What is there already ("Line already exists", ERROR_HANDLER_ALREADY_EXIST), and a portal that will not tell of
    updates: only applications of the vendor's market have them."""
    return command.params.get("event") == events.UPDATED or "already" in f"{error.code} {error.words}".lower()


def refuse_call(portal: Portal, call: str, user: str, why: str) -> None:
    """`finish` a call that Bitrix24 opened and that could not be made: without it the card hangs for ever.

    A call that Bitrix24 no longer knows is closed enough, and one whose end is in the statistics was closed before: the
    answer was lost.
    """
    if _is_closed(portal, call):
        return
    params: dict[str, Any] = {
        "CALL_ID": call,
        "USER_ID": int(user) if user.isdecimal() else user,
        "DURATION": 0,
        "STATUS_CODE": _refusal(why),
        "FAILED_REASON": why[:200],
        "ADD_TO_CHAT": 0,
    }
    try:
        portal.call("telephony.externalCall.finish", params)
    except OutboundError as error:
        if error.code != failures.CALL_NOT_FOUND:
            raise


def _is_closed(portal: Portal, call: str) -> bool:
    try:
        found = portal.call(STATISTICS, {"FILTER": {"CALL_ID": call}})
    except TokenExpired:
        raise
    except CredentialsRefused:
        return False  # the statistics are closed to the application's user
    return any(call == row.CALL_ID for row in wire.rows(wire.Finished, found))


def _refusal(why: str) -> str:
    """403 who may not call, 404 a number that is none, 503 everything else."""
    words = why.lower()
    if any(part in words for part in ("forbidden", "not_allowed", "permission", "extension", "mapped", "mapping")):
        return "403"
    return "404" if "number" in words or "phone" in words else "503"
