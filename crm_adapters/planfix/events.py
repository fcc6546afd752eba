"""What Planfix asks of its PBX: to dial (`makeCall`), and to take its address and key (`setup`).

There is no signature: our own key, in the field `token`, is the proof. Answers are those of the documentation.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qsl

from crm_adapters.base import DialRequested, Event, Refused, Request, SecretsChanged

from . import address

MAX_BODY = 64 * 1024
_NEEDS = {"makeCall": ("from", "to"), "setup": ("planfix_token", "planfix_url")}
_SECRET = ("token", "planfix_token")


def form_of(request: Request) -> dict[str, str]:
    """The parameters; an empty one counts as absent. Raises `Refused` for what is no form."""
    if len(request.body) > MAX_BODY:
        raise Refused(413, "Invalid parameters")
    try:
        pairs = parse_qsl(request.body.decode("utf-8", "replace"), max_num_fields=50)
    except ValueError as error:
        raise Refused(400, "Invalid parameters") from error
    return {name: value.strip() for name, value in pairs if value.strip()}


def authenticate(request: Request, secrets: Mapping[str, str]) -> None:
    """Raises `Refused`: 401 without our key, 400 for a command that is unknown or lacks something."""
    form, ours = form_of(request), secrets.get("token", "")
    if not ours or not hmac.compare_digest(form.get("token", "").encode("utf-8", "replace"), ours.encode()):
        raise Refused(401, "Invalid token")
    needs = _NEEDS.get(form.get("cmd", ""))
    if needs is None or any(name not in form for name in needs):
        raise Refused(400, "Invalid parameters")
    if "planfix_url" in needs and not _is_address(form["planfix_url"]):
        raise Refused(400, "Invalid parameters")


def parse(request: Request) -> list[Event]:
    """What an authenticated command says. It has neither an id nor a time, so no command is known as a repetition of
    another: two clicks are two wishes."""
    form = form_of(request)
    if form["cmd"] == "setup":
        # The customer may connect, disconnect and connect the same account: what comes last counts.
        return [SecretsChanged(secrets={name: form[name] for name in _NEEDS["setup"]})]
    return [DialRequested(extension=form["from"], phone=form["to"])]


def shown(request: Request) -> str:
    """The command as a person reads it: a line for each field, without keys."""
    try:
        form = form_of(request)
    except Refused as refused:
        return f"({refused.code})"
    return "\n".join(f"{name} = {'…' if name in _SECRET else value}" for name, value in form.items())


def _is_address(url: str) -> bool:
    try:
        return bool(address.origin(url)) and "://" in url
    except ValueError:
        return False
