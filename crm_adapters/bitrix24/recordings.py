"""Recordings: a link that Bitrix24 fetches, or a file that it is sent. One for each call; another replaces it."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from django.utils.translation import gettext_noop as _

from crm_adapters.base import CallFacts, Done, Job, Result, Said
from outbound.errors import OutboundError, Rejected

from . import failures, people, wire
from .rest import Answers, Command, Group, Portal

ATTACH = "telephony.externalCall.attachRecord"


def filename(facts: CallFacts) -> str:
    """FILENAME of the recording; "" for a kind that Bitrix24 does not take (wav and mp3 only). No kind: MP3."""
    name = facts.recording_name or unquote(urlsplit(facts.recording_url).path.rpartition("/")[2]) or facts.id
    name = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)[-100:]
    stem, dot, kind = name.rpartition(".")
    if not dot or not stem:
        return f"{name.strip('.')}.mp3"
    return name if kind.lower() in ("wav", "mp3") else ""


def attach(job: Job) -> Command:
    """Have Bitrix24 fetch our link."""
    params = {
        "CALL_ID": people.call_id(job),
        "RECORD_URL": job.facts.recording_url,
        "FILENAME": filename(job.facts),
    }
    return Command(ATTACH, params)


def record(job: Job) -> Group:
    """The step of its own, for a recording that came after `finish`."""
    return {"rec": attach(job)}


def recorded(job: Job, answers: Answers) -> Result:
    """What became of that step."""
    return attached(job, answers["rec"])


def missing(job: Job) -> bool:
    """Whether there is a recording that Bitrix24 lacks. After a transfer there may be several, and it keeps one for
    each call: the house names the longest, which replaces what was attached before."""
    facts, notes = job.facts, job.progress
    if not facts.recording_url or notes.get("record") == "refused" or not filename(facts):
        return False
    return "record" not in notes or notes.get("recorded", facts.recording_name) != facts.recording_name


def attached(job: Job, answer: Any) -> Result:
    """Bitrix24 fetches a RECORD_URL at once. Where it cannot, the next attempt sends the file."""
    if not isinstance(answer, OutboundError):
        file = wire.parse(wire.Attached, answer).FILE_ID or True
        return Done({"record": file, "recorded": job.facts.recording_name})
    if answer.code == failures.RECORD_UNREACHABLE:
        why = Said(_("Bitrix24 cannot fetch the recording's link: %(words)s"), {"words": answer.words})
        return Done({"upload": True}, (why,))
    if isinstance(answer, Rejected):
        why = Said(_("The recording was refused: %(words)s"), {"words": answer.words})
        return Done({"record": "refused"}, (why,))
    return answer


def upload(portal: Portal, job: Job) -> Result:
    """FILENAME alone asks for an address to send the file to. The address lives as long as our token: fetch first."""
    try:
        content = portal.download(job.facts.recording_url)
        params = {"CALL_ID": people.call_id(job), "FILENAME": filename(job.facts)}
        place = wire.parse(wire.Attached, portal.call(ATTACH, params))
        made = portal.upload(place, params["FILENAME"], content)
    except OutboundError as error:
        return error
    return Done({"record": made.FILE_ID or True, "recorded": job.facts.recording_name})
