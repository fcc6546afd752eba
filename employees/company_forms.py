"""The form of a company: its name, where it is, the language it speaks."""

from __future__ import annotations

import re
import zoneinfo
from typing import Any

import phonenumbers
from babel import Locale
from django import forms
from django.utils.translation import get_language

from .models import Company


def country(region: str) -> str:
    """A country's name in the reader's language."""
    return Locale.parse((get_language() or "en")[:2]).territories.get(region, region)


def region_of(languages: str) -> str:
    """The first country that a browser names with its languages (`ru-KZ,ru;q=0.9`)."""
    found = re.findall(r"\b[a-z]{2,3}-([A-Z]{2})\b", languages)
    return next((region for region in found if region in phonenumbers.SUPPORTED_REGIONS), "")


def _regions() -> list[tuple[str, str]]:
    named = {region: country(region) for region in phonenumbers.SUPPORTED_REGIONS}
    return sorted(named.items(), key=lambda pair: pair[1].replace("Ё", "Е"))


def _zones() -> list[tuple[str, str]]:
    return [(name, name.replace("_", " ")) for name in sorted(zoneinfo.available_timezones()) if "/" in name]


class CompanyForm(forms.ModelForm):
    class Meta:
        model = Company
        fields = ["name", "region", "time_zone", "language"]
        widgets = {"name": forms.TextInput(attrs={"autocomplete": "organization"})}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.fields["region"].widget = forms.Select(choices=_regions())
        self.fields["time_zone"].widget = forms.Select(choices=_zones())
