"""Colours that white letters can be read on."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

OURS = "#2563eb"
LEAST = 4.5
"""Contrast of letters with what they stand on (WCAG 2.2, 1.4.3)."""


def readable(colour: str) -> None:
    """Raises `ValidationError` where this is no colour, or white letters could hardly be read on it."""
    if not re.fullmatch(r"#[0-9a-f]{6}", colour, re.IGNORECASE):
        raise ValidationError(_("Write the colour as in #2563eb."))
    if contrast_with_white(colour) < LEAST:
        raise ValidationError(_("White letters can hardly be read on this colour: choose a darker one."))


def contrast_with_white(colour: str) -> float:
    """1…21, by the formula of WCAG 2.2 (relative luminance)."""
    red, green, blue = (_linear(int(colour[place : place + 2], 16) / 255) for place in (1, 3, 5))
    return 1.05 / (0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05)


def _linear(part: float) -> float:
    return part / 12.92 if part <= 0.04045 else float(((part + 0.055) / 1.055) ** 2.4)
