"""The credentials of a Zadarma connection, in the words of Zadarma's own cabinet."""

from __future__ import annotations

from django import forms
from django.utils.translation import pgettext_lazy

from telephony.providers.values import zones

from .api import DEFAULT_URL


class ZadarmaForm(forms.Form):
    """Labels carry the context `Zadarma`: another vendor's "Key" is another word."""

    user_key = forms.CharField(label=pgettext_lazy("Zadarma", "Key"), max_length=128)
    secret = forms.CharField(label=pgettext_lazy("Zadarma", "Secret"), widget=forms.PasswordInput, max_length=128)
    timezone = forms.ChoiceField(
        label=pgettext_lazy("Zadarma", "Time zone"),
        help_text=pgettext_lazy("Zadarma", "That of your Zadarma account: its notifications give times without a zone"),
        choices=zones,
        initial="Europe/Moscow",
    )
    api_url = forms.URLField(
        label=pgettext_lazy("Zadarma", "Address"), initial=DEFAULT_URL, max_length=200, assume_scheme="https"
    )
