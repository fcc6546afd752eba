"""Asterisk as a provider: what the protocol's parts do together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from outbound.http import Http
from telephony.providers.base import (
    Advice,
    Audio,
    Brand,
    Capability,
    Check,
    HistoryLeg,
    Listener,
    NotUnderstood,
    Parsed,
    PbxUser,
    Provider,
    Question,
    Refused,
    Reply,
    Request,
    Secrets,
    SipDoor,
)
from telephony.providers.values import form, load

from . import checks, commands, directory, events, history, listener, recordings
from .commands import plan_of
from .forms import AsteriskForm
from .session import Session

ROUTE = "route"


class Asterisk(Provider):
    """Asterisk 16 to 22 and PBXs built on it: events and commands by AMI, questions from the dialplan."""

    slug = "asterisk"
    title = "Asterisk"
    brands = (
        Brand("asterisk", "Asterisk", aliases=("Астериск", "AMI", "Digium")),
        Brand(
            "freepbx",
            "FreePBX",
            aliases=("Фри ПБХ", "Issabel", "Elastix", "PBXact", "Sangoma", "AsterNIC"),
            defaults={"dial_channel": "Local/{extension}@from-internal/n"},
        ),
        Brand(
            "mikopbx",
            "MikoPBX",
            aliases=("МикоПБХ", "Askozia"),
            defaults={
                "dial_channel": "Local/{extension}@internal-originate",
                "dial_context": "all_peers",
                "transfer_context": "internal-transfer",
            },
        ),
    )
    capabilities = frozenset(
        {
            Capability.DIAL,
            Capability.HANGUP,
            Capability.TRANSFER,
            Capability.USERS,
            Capability.HISTORY,
            Capability.RECORDINGS,
            Capability.BROWSER_PHONE,
        }
    )
    form = AsteriskForm
    secret_fields = frozenset({"ami_secret", "recordings_password", "cdr_password"})
    wire_names = {"ari_user": "recordings_user", "ari_secret": "recordings_password"}
    methods = frozenset({"GET"})
    answer_seconds = 1.5
    history_counts_talk = False

    # --- What the PBX tells

    def listener(self, secrets: Secrets) -> Listener:
        return listener.AmiListener(secrets)

    def overheard(self, sample: Mapping[str, Any], folder: Path, secrets: Secrets) -> list[Request]:
        return listener.overheard(sample, folder)

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """The dialplan may ask, and proves itself by the secret part of the address; nobody may tell: that is AMI's."""
        if request.path.strip("/") != ROUTE or request.method != "GET":
            raise Refused(404, "not_found")

    def question(self, request: Request) -> Question | None:
        """`route?did=…&from=…&linkedid=…`"""
        if request.path.strip("/") != ROUTE:
            return None
        told = _fields(request)
        return Question(told.get("from", ""), told.get("did", ""), told.get("linkedid", "")[:200])

    def answer(self, request: Request, advice: Advice) -> Reply:
        """Digits alone, or nothing: then the dialplan goes on by itself."""
        digits = advice.extension if advice.extension.isascii() and advice.extension.isdecimal() else ""
        return Reply(200, digits.encode(), "text/plain; charset=utf-8")

    def parse(self, request: Request, secrets: Secrets) -> list[Parsed]:
        if request.path != listener.PATH:
            return []
        try:
            return events.read(load(request.body.decode("utf-8", "replace")), plan_of(secrets))
        except ValueError as error:
            raise NotUnderstood(str(error)) from error

    # --- What we ask of it

    def able(self, secrets: Secrets) -> frozenset[Capability]:
        """Call records lie in a database of their own, which not everybody opens; nor does everybody take SIP by
        WebSocket."""
        needs = {Capability.HISTORY: "cdr_host", Capability.BROWSER_PHONE: "sip_address"}
        return self.capabilities - {capability for capability, name in needs.items() if not secrets.get(name)}

    def check(self, http: Http, secrets: Secrets, webhook_url: str) -> list[Check]:
        return checks.run(http, secrets)

    def dial(self, http: Http, secrets: Secrets, *, command: str, extension: str, phone: str, line: str) -> None:
        """Which number the client sees is the affair of the PBX's outbound routes."""
        commands.dial(http, secrets, command=command, extension=extension, phone=phone)

    def hangup(self, http: Http, secrets: Secrets, *, command: str, leg: str) -> None:
        commands.hangup(http, secrets, leg)

    def transfer(
        self,
        http: Http,
        secrets: Secrets,
        *,
        command: str,
        leg: str,
        by: str,
        to: str,
        method: Literal["blind", "hold"],
    ) -> None:
        commands.transfer(http, secrets, leg=leg, by=by, to=to, method=method)

    def sip_door(self, secrets: Secrets) -> SipDoor:
        address = secrets.get("sip_address", "")
        return SipDoor(address, secrets.get("sip_domain", "") or urlsplit(address).hostname or "")

    def users(self, http: Http, secrets: Secrets) -> list[PbxUser]:
        with Session(http, secrets) as session:
            return directory.users(session, plan_of(secrets))

    def history(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> Iterable[HistoryLeg]:
        return history.legs(http, secrets, since, until)

    def recording(self, http: Http, secrets: Secrets, recording: str, url: str) -> Audio | None:
        return recordings.fetch(http, secrets, recording, url)


def _fields(request: Request) -> dict[str, str]:
    try:
        return form(request.query)
    except ValueError:
        return {}
