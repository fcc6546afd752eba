"""The credentials of a StreamTelecom connection, in the words of its cabinet."""

from __future__ import annotations

import secrets

from django import forms
from django.utils.translation import pgettext_lazy

GATEWAY = "https://gate.streamtele.com/api/planfix/v1/actions"


def new_key() -> str:
    return secrets.token_hex(16)


class StreamTelecomForm(forms.Form):
    """The first key is ours and is told to StreamTelecom's manager, the other one is StreamTelecom's."""

    our_key = forms.CharField(
        label=pgettext_lazy("StreamTelecom", "Our key"),
        help_text=pgettext_lazy("StreamTelecom", "Tell it your manager at StreamTelecom, together with our address."),
        initial=new_key,
        min_length=16,
        max_length=128,
    )
    pbx_token = forms.CharField(
        label=pgettext_lazy("StreamTelecom", "API key"),
        help_text=pgettext_lazy("StreamTelecom", "Menu → Administration → Company profile → Basic information."),
        widget=forms.PasswordInput,
        required=False,
        max_length=128,
    )
    pbx_url = forms.URLField(
        label=pgettext_lazy("StreamTelecom", "PBX address"),
        initial=GATEWAY,
        max_length=300,
        assume_scheme="https",
    )
