"""Phones are E.164 inside: `+` and digits. What is no phone (a SIP address, an internal number) stays as it is."""

from __future__ import annotations

import re
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


@lru_cache(maxsize=65_536)
def pretty(phone: str) -> str:
    """A phone as people read it; anything else as it is."""
    if not is_phone(phone):
        return phone
    try:
        parsed = phonenumbers.parse(phone)
    except phonenumbers.NumberParseException:
        return phone
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
