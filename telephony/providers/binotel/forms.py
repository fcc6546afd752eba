"""The credentials of a Binotel connection, in Binotel's own words."""

from __future__ import annotations

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import pgettext_lazy

from .api import DEFAULT_URL
from .sender import ADDRESSES, networks


class BinotelForm(forms.Form):
    """Labels carry the context `Binotel`: another vendor's "Key" is another word."""

    key = forms.CharField(label=pgettext_lazy("Binotel", "Key"), widget=forms.PasswordInput, max_length=128)
    secret = forms.CharField(label=pgettext_lazy("Binotel", "Secret"), widget=forms.PasswordInput, max_length=128)
    company_id = forms.CharField(
        label=pgettext_lazy("Binotel", "Company ID"),
        help_text=pgettext_lazy(
            "Binotel", "The number of your company at Binotel: notifications with another one are refused"
        ),
        max_length=32,
    )
    addresses = forms.CharField(
        label=pgettext_lazy("Binotel", "Binotel's IP addresses"),
        help_text=pgettext_lazy(
            "Binotel", "Notifications from other addresses are taken too and noted in the server's log"
        ),
        widget=forms.Textarea,
        initial=ADDRESSES,
        max_length=4000,
        required=False,
    )
    api_url = forms.URLField(
        label=pgettext_lazy("Binotel", "Address"), initial=DEFAULT_URL, max_length=200, assume_scheme="https"
    )

    def clean_addresses(self) -> str:
        typed: str = self.cleaned_data["addresses"]
        try:
            networks(typed)
        except ValueError as error:
            words = pgettext_lazy("Binotel", "This is no IP address or network: %(what)s")
            raise ValidationError(words, "invalid", {"what": str(error)}) from error
        return typed
