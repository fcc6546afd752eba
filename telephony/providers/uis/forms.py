"""The credentials of a UIS connection."""

from __future__ import annotations

import re

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import pgettext_lazy

from telephony.providers.values import zones

from .api import CALL_URL, COMMON, DATA_URL, SIMPLE
from .recordings import MEDIA_URL


class UisForm(forms.Form):
    """The addresses are those of the brand: a token of one brand is none at another's."""

    access_token = forms.CharField(
        label=pgettext_lazy("UIS", "Access token"), widget=forms.PasswordInput, max_length=256
    )
    data_token = forms.CharField(
        label=pgettext_lazy("UIS", "Access token of the Data API"),
        help_text=pgettext_lazy("UIS", "Only where it is another one: MegaFon issues two"),
        widget=forms.PasswordInput,
        max_length=256,
        required=False,
    )
    virtual_number = forms.CharField(
        label=pgettext_lazy("UIS", "Virtual number"),
        help_text=pgettext_lazy("UIS", "From which clients are called by a click, unless another one is chosen"),
        widget=forms.TextInput(attrs={"placeholder": "74950000001"}),
        max_length=32,
    )
    timezone = forms.ChoiceField(
        label=pgettext_lazy("UIS", "Time zone"),
        help_text=pgettext_lazy("UIS", "That of your account: notifications give times without a zone"),
        choices=zones,
        initial="Europe/Moscow",
    )
    call_api_url = forms.URLField(
        label=pgettext_lazy("UIS", "Address of the Call API"),
        initial=CALL_URL,
        max_length=200,
        assume_scheme="https",
    )
    data_api = forms.ChoiceField(
        label=pgettext_lazy("UIS", "Kind of Data API"),
        choices=[
            (COMMON, pgettext_lazy("UIS", "Data API 2.0 (UIS, CoMagic, CallGear)")),
            (SIMPLE, pgettext_lazy("UIS", "MegaFon")),
        ],
        initial=COMMON,
    )
    data_api_url = forms.URLField(
        label=pgettext_lazy("UIS", "Address of the Data API"),
        initial=DATA_URL,
        max_length=200,
        assume_scheme="https",
    )
    media_url = forms.URLField(
        label=pgettext_lazy("UIS", "Address of recordings"),
        help_text=pgettext_lazy("UIS", "From where recordings are fetched that only the history tells of"),
        initial=MEDIA_URL,
        max_length=200,
        assume_scheme="https",
        required=False,
    )

    def clean_virtual_number(self) -> str:
        """UIS takes digits alone."""
        digits = re.sub(r"[\s()+-]", "", self.cleaned_data["virtual_number"])
        if not re.fullmatch(r"[0-9]{6,15}", digits):
            raise ValidationError(pgettext_lazy("UIS", "Enter a phone number."), "invalid")
        return digits
