"""Phones are E.164 inside: `+` and digits. What is no phone (a SIP address, an internal number) stays as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

import phonenumbers
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

_SIP = re.compile(r"^sips?:(?P<user>[^@;]+)", re.IGNORECASE)
_HIDDEN = {"", "anonymous", "unknown", "restricted", "unavailable", "private", "hidden"}


@lru_cache(maxsize=65_536)
def normalise(number: str, region: str) -> str:
    """`number` as E.164 where it is a phone, else as it came without blanks; empty for a hidden caller.

    Vendors write `79…` without a plus: digits that are an international number of the region are read so.
    """
    number = number.strip()
    if number.casefold() in _HIDDEN:
        return ""
    if match := _SIP.match(number):
        user = match["user"]
        return normalise(user, region) if user.lstrip("+").isdigit() and len(user) >= 7 else number
    for candidate in _readings(number):
        try:
            parsed = phonenumbers.parse(candidate, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(parsed):
            return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return re.sub(r"\s+", "", number)


def _readings(number: str) -> list[str]:
    digits = re.sub(r"\D", "", number)
    if len(digits) < 7:
        return []
    if number.startswith("+"):
        return [number]
    if number.startswith("00"):
        return ["+" + digits[2:]]
    # 8 495 … is a national number of Russia, 7 495 … an international one without its plus.
    return [number, "+" + digits]


def required(number: str, region: str) -> str:
    """`number` as E.164; raises `ValidationError` when it is no phone."""
    phone = normalise(number, region)
    if not re.fullmatch(r"\+\d{7,15}", phone):
        raise ValidationError(
            _("“%(number)s” is not a phone number. Write it as +7 495 000-00-00.") % {"number": number}
        )
    return phone


def is_phone(number: str) -> bool:
    return bool(re.fullmatch(r"\+\d{7,15}", number))


class Spellings(NamedTuple):
    """How one phone is written: E.164, its digits, and as people of its country write it."""

    e164: str
    digits: str
    national: str


def spellings(text: str, region: str) -> Spellings | None:
    """How what somebody typed is compared with phones; None where it is no phone."""
    phone = normalise(text, region)
    if not is_phone(phone):
        return None
    try:
        parsed = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return None
    national = phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.NATIONAL)
    return Spellings(phone, phone.lstrip("+"), national)


# --- As people read them ----------------------------------------------------------------------------------------------


class Style(StrEnum):
    """How a company wants numbers to be written."""

    INTERNATIONAL = "international"
    DIGITS = "digits"
    NATIONAL = "national"


class Look(NamedTuple):
    """How numbers are shown to whoever looks. `region`: whose numbers are national."""

    style: str = Style.INTERNATIONAL
    region: str = ""
    hidden: bool = False
    """Whether clients' numbers are."""


_look: ContextVar[Look] = ContextVar("look", default=Look())  # noqa: B039  (a tuple is immutable)
_LAST = 2
"""Digits at the end of a hidden number that are shown, so that two clients can be told apart."""
_NUMBERISH = re.compile(r"(?<!\d)\d(?:[\s().-]{0,2}\d){6,}")


@contextmanager
def shown(look: Look) -> Iterator[None]:
    """Numbers are shown like this meanwhile: to the person of a request, in the file that somebody asked for."""
    token = _look.set(look)
    try:
        yield
    finally:
        _look.reset(token)


def hidden() -> bool:
    """Whether clients' numbers are hidden from whoever looks."""
    return _look.get().hidden


def pretty(phone: str) -> str:
    """A phone of our own as people read it; anything else as it is."""
    look = _look.get()
    return _formatted(phone, look.style, look.region)


def of_client(phone: str) -> str:
    """A client's phone as whoever looks may read it."""
    look = _look.get()
    text = _formatted(phone, look.style, look.region)
    return _starred(text, _secret(phone)) if look.hidden else text


def in_text(text: str) -> str:
    """A text that may hold a client's phone (a name, the words of a vendor), as whoever looks may read it."""
    if not hidden():
        return text
    return _NUMBERISH.sub(lambda found: _starred(found[0], sum(map(str.isdigit, found[0])) - _LAST), text)


@lru_cache(maxsize=65_536)
def _formatted(phone: str, style: str, region: str) -> str:
    if not is_phone(phone):
        return phone
    if style == Style.DIGITS:
        return phone.lstrip("+")
    try:
        parsed = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return phone
    ours = region in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(parsed.country_code or 0, ())
    national = style == Style.NATIONAL and ours
    kind = phonenumbers.PhoneNumberFormat.NATIONAL if national else phonenumbers.PhoneNumberFormat.INTERNATIONAL
    return phonenumbers.format_number(parsed, kind)


@lru_cache(maxsize=65_536)
def _secret(phone: str) -> int:
    """How many digits of a hidden phone are stars: of the national number all but the first third and the last two,
    and half of it at least."""
    if not is_phone(phone):
        return len(phone)
    try:
        national = str(phonenumbers.parse(phone).national_number)
    except phonenumbers.NumberParseException:
        national = phone.lstrip("+")
    return max((len(national) + 1) // 2, len(national) - len(national) // 3 - _LAST)


def _starred(text: str, count: int) -> str:
    """`text` with so many digits before the last ones as stars; what is no number, whole."""
    if count >= len(text):
        return "*" * len(text)
    places = [place for place, letter in enumerate(text) if letter.isdigit()][:-_LAST]
    secret = set(places[len(places) - count :])
    return "".join("*" if place in secret else letter for place, letter in enumerate(text))


def sample(style: str, region: str, *, secret: bool = False) -> str:
    """A mobile number of a country, as it would be shown."""
    found = phonenumbers.example_number_for_type(region, phonenumbers.PhoneNumberType.MOBILE)
    phone = phonenumbers.format_number(found, phonenumbers.PhoneNumberFormat.E164) if found else "+79991234521"
    with shown(Look(style, region, secret)):
        return of_client(phone)
