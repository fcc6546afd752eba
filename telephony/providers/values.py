"""Values as vendors write them: the same field is a number in one place and a string in another.

Types for pydantic models of what comes over the wire, and the reading of JSON, forms and local times.
"""

from __future__ import annotations

import json as jsonlib
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.parser import BytesParser
from email.policy import HTTP
from typing import Annotated, Any
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from .base import NO_TIME

# After the year 2200 it is no epoch in seconds.
_LATEST = 7_258_118_400
_MOST_FIELDS = 200
_OFFSET = re.compile(r"(?:UTC|GMT)?\s*([+-])(\d{1,2})(?::?(\d{2}))?")


def clean(text: str) -> str:
    """Without what no database takes: NUL and lone surrogates."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()


# --- Texts and numbers ------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return clean(str(value)).strip()
    raise ValueError("is no text")


def _integer(value: Any) -> int:
    if isinstance(value, float):
        value = str(value)
    if isinstance(value, str):
        whole, _, rest = value.strip().partition(".")
        value = int(whole) if not rest.strip("0") else None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("is no whole number")


def _maybe_integer(value: Any) -> int | None:
    """A number in digits; what is written in words says nothing to us."""
    try:
        return _integer(value)
    except ValueError:
        return None


def _object(value: Any) -> Any:
    """An empty object, where the vendor writes it as null, an empty list or an empty string."""
    return value or {}


def _list(value: Any) -> Any:
    return value or []


# --- Times ------------------------------------------------------------------------------------------------------------


def moment(value: Any) -> datetime:
    """Seconds of the epoch; raises `ValueError`."""
    seconds = _integer(value)
    if not 0 < seconds < _LATEST:
        raise ValueError("is no time")
    return datetime.fromtimestamp(seconds, UTC)


def _timestamp(value: Any) -> datetime:
    try:
        return moment(value)
    except ValueError:
        return NO_TIME


def _maybe_timestamp(value: Any) -> datetime | None:
    seconds = _maybe_integer(value)
    return None if value in (None, "") or (seconds is not None and seconds <= 0) else _timestamp(value)


def _maybe_moment(value: Any) -> datetime | None:
    return None if value in (None, "") or _integer(value) <= 0 else moment(value)


def zones() -> list[tuple[str, str]]:
    """Choices of a form: the places after which time zones are called."""
    return [(name, name.replace("_", " ")) for name in sorted(available_timezones()) if "/" in name or name == "UTC"]


def zone(name: str) -> tzinfo:
    """A time zone by its place (`Europe/Moscow`) or its distance from UTC (`UTC+3`, `+05:30`).

    Raises `ValueError`. UTC where nothing is said.
    """
    if match := _OFFSET.fullmatch(name.strip()):
        sign, hours, minutes = match.groups()
        ahead = timedelta(hours=int(hours), minutes=int(minutes or 0))
        return timezone(ahead if sign == "+" else -ahead)
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone") from error


def local(text: str, where: tzinfo) -> datetime:
    """A time without a zone (`2026-03-02 10:15:00`) that is meant in `where`; `NO_TIME` for what is none."""
    try:
        told = datetime.fromisoformat(text.strip())
        return told.astimezone(UTC) if told.tzinfo else told.replace(tzinfo=where).astimezone(UTC)
    except (ValueError, OverflowError):
        return NO_TIME


# --- Types ------------------------------------------------------------------------------------------------------------

Text = Annotated[str, BeforeValidator(_text)]
Id = Annotated[str, BeforeValidator(_text), Field(min_length=1, max_length=200)]
Integer = Annotated[int, BeforeValidator(_integer)]
MaybeInteger = Annotated[int | None, BeforeValidator(_maybe_integer)]
Sequence = Annotated[int, BeforeValidator(_integer), Field(ge=0, lt=2**31)]
Moment = Annotated[datetime, BeforeValidator(moment)]
"""Seconds of the epoch."""
MaybeMoment = Annotated[datetime | None, BeforeValidator(_maybe_moment)]
"""A moment; 0 where it never came."""
Timestamp = Annotated[datetime, BeforeValidator(_timestamp)]
"""The moment of an event. What else it says is not lost because its clock is broken."""
MaybeTimestamp = Annotated[datetime | None, BeforeValidator(_maybe_timestamp)]
EmptyObject = BeforeValidator(_object)
EmptyList = BeforeValidator(_list)


class Model(BaseModel):
    """A thing of the vendor's. Fields we do not know are none of our business."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


# --- Bodies -----------------------------------------------------------------------------------------------------------


def load(text: str) -> dict[str, Any]:
    """A JSON object; raises `ValueError` for anything else."""
    try:
        value = jsonlib.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def form(text: bytes | str, most: int = _MOST_FIELDS) -> dict[str, str]:
    """The fields of a form or a query string, the last where one comes twice; raises `ValueError`, also for more than
    `most` of them."""
    told = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    pairs = parse_qsl(told, keep_blank_values=True, max_num_fields=most)
    return {clean(name): clean(value) for name, value in pairs}


def any_form(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of a form of either kind; raises `ValueError`."""
    if not content_type.lower().startswith("multipart/form-data"):
        return form(body)
    head = f"Content-Type: {content_type}\r\n\r\n".encode("utf-8", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    if not message.is_multipart():
        raise ValueError("not a multipart form")
    return {
        clean(str(name)): clean(bytes(part.get_payload(decode=True) or b"").decode("utf-8", "replace"))
        for part in message.iter_parts()
        if (name := part.get_param("name", header="content-disposition"))
    }


def faults(error: ValidationError) -> str:
    """What is wrong with which fields, without their values."""
    rows = error.errors(include_input=False, include_url=False, include_context=False)
    return "; ".join(f"{'.'.join(map(str, row['loc']))}: {row['msg']}" for row in rows)
