"""What must be true for a connection to work, tried one by one; nothing is changed at the PBX."""

from __future__ import annotations

from django.utils.translation import pgettext

from outbound.errors import CredentialsRefused, OutboundError
from outbound.http import Http
from telephony.providers.base import Check, Secrets

from . import directory, history, recordings
from .channels import matcher, split
from .commands import plan_of
from .forms import ARI, NO_RECORDINGS
from .session import Session

_RIGHTS = {
    "reporting": ("CoreShowChannels", "ExtensionStateList"),
    "call": ("Hangup", "Redirect", "Getvar"),
    "originate": ("Originate",),
}


def run(http: Http, secrets: Secrets) -> list[Check]:
    try:
        with Session(http, secrets) as session:
            found = [_reached(), _accepted(), *_rights(session), _extensions(session, secrets)]
            found += _trunks(session, secrets)
    except OutboundError as error:
        return _until(error)
    return [*found, *_call_records(http, secrets), *_recordings(http, secrets)]


def _reached(cure: str = "") -> Check:
    return Check(pgettext("Asterisk", "The PBX answers at AMI's address"), not cure, cure)


def _accepted(cure: str = "") -> Check:
    return Check(pgettext("Asterisk", "AMI accepts the user"), not cure, cure)


def _until(error: OutboundError) -> list[Check]:
    if isinstance(error, CredentialsRefused):
        cure = pgettext(
            "Asterisk",
            "AMI does not say which of three it is: the secret is wrong; there is no such user (after a change of "
            "manager.conf: manager reload); or its lines permit and deny do not let our address in.",
        )
        return [_reached(), _accepted(f"{cure} ({error.words})")]
    if error.code == "tls":
        cure = pgettext(
            "Asterisk", "Encryption fails: choose another kind of it, or the port of AMI with TLS (usually 5039)."
        )
        return [_reached(f"{cure} ({error.words})")]
    cure = pgettext(
        "Asterisk",
        "Check server and port. The PBX must listen there (bindaddr in manager.conf), and its firewall must let our "
        "address in.",
    )
    return [_reached(f"{cure} ({error.words})")]


def _rights(session: Session) -> list[Check]:
    """The PBX lists the actions that this user may ask for. What he may read it does not say."""
    may = session.ask("ListCommands")
    found = []
    for right, actions in _RIGHTS.items():
        missing = [name for name in actions if name.lower() not in may]
        name = pgettext("Asterisk", "The user has the right “%(right)s”") % {"right": right}
        cure = pgettext("Asterisk", "Add %(right)s to the user's line “write”: without it there is no %(actions)s.")
        found.append(
            Check(name, not missing, cure % {"right": right, "actions": ", ".join(missing)} if missing else "")
        )
    return found


def _extensions(session: Session, secrets: Secrets) -> Check:
    name = pgettext("Asterisk", "Extensions are seen")
    cure = pgettext(
        "Asterisk", "The PBX names no extension that fits the field “Extensions”: check it, or give extensions a hint."
    )
    try:
        found = directory.extensions(session, plan_of(secrets))
    except OutboundError as error:
        return Check(name, False, error.words)
    return Check(name, bool(found), "" if found else cure)


def _trunks(session: Session, secrets: Secrets) -> list[Check]:
    """Endpoints are listed only to users who may do much more than we need: then trunks are not compared."""
    named = split(secrets.get("trunks", ""))
    if not named:
        return []
    try:
        endpoints = [row["objectname"] for row in session.rows("PJSIPShowEndpoints")]
    except OutboundError:
        return []
    missing = [pattern for pattern in named if not any(map(matcher(pattern), endpoints))]
    cure = pgettext("Asterisk", "There is no endpoint called so: %(names)s")
    name = pgettext("Asterisk", "Trunks are seen")
    return [Check(name, not missing, cure % {"names": ", ".join(missing)} if missing else "")]


def _call_records(http: Http, secrets: Secrets) -> list[Check]:
    name = pgettext("Asterisk", "Call records can be read")
    if not secrets.get("cdr_host"):
        words = pgettext("Asterisk", "Not set up: calls that go by while there is no connection stay unknown.")
        return [Check(name, True, words)]
    try:
        history.probe(http, secrets)
    except OutboundError as error:
        return [Check(name, False, error.words)]
    return [Check(name, True)]


def _recordings(http: Http, secrets: Secrets) -> list[Check]:
    kind, base = secrets.get("recordings", NO_RECORDINGS), secrets.get("recordings_url", "").rstrip("/")
    if kind == NO_RECORDINGS:
        return []
    name = pgettext("Asterisk", "Recordings can be reached")
    try:
        url = f"{base}/applications" if kind == ARI else f"{base}/"
        answer = http.request("GET", url, headers=recordings.authorization(secrets))
    except OutboundError as error:
        return [Check(name, False, error.words)]
    if answer.status == 401:
        return [Check(name, False, pgettext("Asterisk", "The user or the password of the recordings is wrong."))]
    # A web folder need not show a list of its files.
    fine = answer.status == 200 or (kind != ARI and answer.status in (403, 404))
    cure = pgettext("Asterisk", "The address answers with HTTP %(status)s.") % {"status": answer.status}
    return [Check(name, fine, "" if fine else cure)]
