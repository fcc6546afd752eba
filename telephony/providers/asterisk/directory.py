"""Whom a PBX knows: extensions by their hints, and what FreePBX calls them in its own database.

Source: Asterisk's `main/manager.c`, `main/db.c`; FreePBX keeps `AMPUSER/<extension>/cidname`.
"""

from __future__ import annotations

from outbound.errors import CredentialsRefused, Rejected
from telephony.providers.base import PbxUser

from .channels import Plan
from .session import Session


def extensions(session: Session, plan: Plan) -> list[str]:
    rows = session.rows("ExtensionStateList")
    found = {row["exten"] for row in rows if plan.is_extension(row["exten"])}
    return sorted(found, key=lambda number: (len(number), number))


def users(session: Session, plan: Plan) -> list[PbxUser]:
    """Extensions that have a hint. Names are only known where the PBX keeps them in its database."""
    return [PbxUser(name=_name(session, extension), extension=extension) for extension in extensions(session, plan)]


def _name(session: Session, extension: str) -> str:
    try:
        rows = session.rows("DBGet", Family="AMPUSER", Key=f"{extension}/cidname")
    except CredentialsRefused as error:
        if error.code != "permission":
            raise
        return ""
    except Rejected:  # no such entry
        return ""
    return next((row["val"] for row in rows if row["val"]), "")
