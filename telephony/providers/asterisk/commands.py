"""What we ask of Asterisk: to dial, to hang up, to hand a client on.

Source: Asterisk's `main/manager.c` and `main/features.c`, tried on versions 16 and 22.
"""

from __future__ import annotations

import re
from typing import Literal

from outbound.errors import CredentialsRefused, Rejected
from outbound.http import Http
from telephony.providers.base import Secrets

from . import ids
from .channels import Kind, Plan
from .session import Session
from .wire import Message

RING_MILLISECONDS = 30_000
_PHONE = re.compile(r"\+?[0-9]{2,15}")
_GONE = ("no such channel", "does not exist")


def plan_of(secrets: Secrets) -> Plan:
    """Raises `ValueError`."""
    return Plan(secrets.get("trunks", ""), secrets.get("extensions", ""))


def dial(http: Http, secrets: Secrets, *, command: str, extension: str, phone: str) -> None:
    """Ring the employee's phone; when he answers the client is dialled, as if the employee had done it.

    `Async`: else the answer would wait for his. That he does not answer is told by an event.
    """
    if not plan_of(secrets).is_extension(extension) or not re.fullmatch(r"[0-9]+", extension):
        raise Rejected(f"not sent to the PBX: {extension!r} is no extension", code="invalid")
    number = _number(phone)
    channel = secrets.get("dial_channel", "").replace("{extension}", extension)
    with Session(http, secrets) as session:
        session.ask(
            "Originate",
            action_id=ids.channel_of(command),
            Channel=channel,
            Context=secrets.get("dial_context", ""),
            Exten=number,
            Priority="1",
            CallerID=f'"{number}" <{number}>',
            Timeout=str(RING_MILLISECONDS),
            Async="true",
            ChannelId=ids.channel_of(command),
            Variable=[f"{ids.WANTED}={number}", f"AMPUSER={extension}"],
        )


def hangup(http: Http, secrets: Secrets, leg: str) -> None:
    """End the call of a leg: without the client it is over for everybody."""
    with Session(http, secrets) as session:
        there = _call(session, leg)
        for channel in _outside(there, plan_of(secrets)) or there:
            try:
                session.ask("Hangup", Channel=channel["channel"], Cause="16")
            except CredentialsRefused:
                raise
            except Rejected as error:
                if not _is_gone(error):
                    raise


def transfer(http: Http, secrets: Secrets, *, leg: str, by: str, to: str, method: Literal["blind", "hold"]) -> None:
    """The client's channel goes on in the dialplan at `to`; who talked with him is hung up."""
    if method != "blind":
        raise Rejected("the PBX hands a client on only at once, without asking first", code="not_supported")
    plan, number = plan_of(secrets), _number(to)
    with Session(http, secrets) as session:
        there = _call(session, leg)
        others = [
            row for row in there if plan.kind(row["channel"]) is Kind.PHONE and plan.extension(row["channel"]) != by
        ]
        client = next(iter(_outside(there, plan) or others), None)
        if client is None:
            raise Rejected("the call is over already", code="call_is_over")
        session.ask(
            "Redirect",
            Channel=client["channel"],
            Context=secrets.get("transfer_context", ""),
            Exten=number,
            Priority="1",
        )


def _call(session: Session, leg: str) -> list[Message]:
    """The channels of the call that has this leg, the first one first."""
    rows = [row for row in session.rows("CoreShowChannels") if row.event == "CoreShowChannel"]
    linked = {row["linkedid"] for row in rows if leg in (row["uniqueid"], row["linkedid"])}
    there = [row for row in rows if row["linkedid"] in linked]
    return sorted(there, key=lambda row: row["uniqueid"] != row["linkedid"])


def _outside(rows: list[Message], plan: Plan) -> list[Message]:
    return [row for row in rows if plan.kind(row["channel"]) is Kind.TRUNK]


def _is_gone(error: Rejected) -> bool:
    return any(words in error.words.lower() for words in _GONE)


def _number(phone: str) -> str:
    if not _PHONE.fullmatch(phone):
        raise Rejected(f"not sent to the PBX: {phone!r} is no number", code="invalid")
    return phone.lstrip("+")
