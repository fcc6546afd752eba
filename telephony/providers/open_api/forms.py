"""The credentials of a connection by the open telephony API."""

from __future__ import annotations

import secrets

from django import forms
from django.core.validators import RegexValidator
from django.utils.translation import pgettext_lazy


def new_key() -> str:
    return secrets.token_hex(16)


HISTORY = frozenset({"history_url", "history_header", "history_key"})
"""Fields for the brand that keeps a history besides."""


class OpenApiForm(forms.Form):
    """The first key is ours and is entered at the PBX; address and second key are the PBX's own."""

    our_key = forms.CharField(
        label=pgettext_lazy("Open API", "Our key"),
        help_text=pgettext_lazy("Open API", "The PBX sends it with everything. Enter it there beside our address."),
        initial=new_key,
        min_length=16,
        max_length=128,
    )
    pbx_url = forms.URLField(
        label=pgettext_lazy("Open API", "Address of your PBX"),
        help_text=pgettext_lazy("Open API", "Where commands go. Without it calls come in, and nothing can be dialled."),
        required=False,
        max_length=300,
        assume_scheme="https",
    )
    pbx_token = forms.CharField(
        label=pgettext_lazy("Open API", "Key of your PBX"),
        help_text=pgettext_lazy("Open API", "We send it with each command."),
        widget=forms.PasswordInput,
        required=False,
        max_length=128,
    )
    history_url = forms.URLField(
        label=pgettext_lazy("Open API", "Address of the call history"),
        help_text=pgettext_lazy("Open API", "Only with the header and its value, too, is the history read."),
        required=False,
        max_length=300,
        assume_scheme="https",
    )
    history_header = forms.CharField(
        label=pgettext_lazy("Open API", "Header with the history's key"),
        help_text=pgettext_lazy("Open API", "The PBX's support tells it: Authorization, for example."),
        validators=[RegexValidator(r"^[A-Za-z0-9-]+\Z")],
        required=False,
        max_length=64,
    )
    history_key = forms.CharField(
        label=pgettext_lazy("Open API", "Value of that header"),
        help_text=pgettext_lazy("Open API", "In full, as it goes over the wire."),
        validators=[RegexValidator(r"^[\x20-\x7e]+\Z")],
        widget=forms.PasswordInput,
        required=False,
        max_length=1000,
    )
