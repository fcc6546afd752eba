"""The credentials of a Phonet connection, in the words of Phonet's own cabinet."""

from __future__ import annotations

import re

from django import forms
from django.utils.translation import pgettext, pgettext_lazy

from .api import domain

_DOMAIN = re.compile(r"(?:[a-z0-9-]+\.)+[a-z]{2,}")


class PhonetForm(forms.Form):
    """Labels carry the context `Phonet`: another vendor's "API key" is another word."""

    account_domain = forms.CharField(
        label=pgettext_lazy("Phonet", "Account address"),
        help_text=pgettext_lazy("Phonet", "Where you open Phonet in the browser, such as company.phonet.com.ua"),
        max_length=200,
    )
    api_key = forms.CharField(label=pgettext_lazy("Phonet", "API key"), widget=forms.PasswordInput, max_length=200)

    def clean_account_domain(self) -> str:
        """What is copied from the browser has more than the domain; the key goes over TLS only."""
        found = domain(self.cleaned_data["account_domain"])
        if not _DOMAIN.fullmatch(found):
            raise forms.ValidationError(pgettext("Phonet", "Enter the address like this: company.phonet.com.ua"))
        return found
