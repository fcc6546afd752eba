"""The credentials of a connection by the open telephony API."""

from __future__ import annotations

import secrets

from django import forms
from django.utils.translation import pgettext_lazy


def new_key() -> str:
    return secrets.token_hex(16)


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
