"""The credentials of a UniTalk connection, in the words of UniTalk's own cabinet."""

from __future__ import annotations

from django import forms
from django.utils.translation import pgettext_lazy

from telephony.providers.values import zones

from .api import DEFAULT_URL


class UniTalkForm(forms.Form):
    api_key = forms.CharField(label=pgettext_lazy("UniTalk", "API key"), widget=forms.PasswordInput, max_length=256)
    hook_token = forms.RegexField(
        r"^[!-~]{16,128}$",
        label=pgettext_lazy("UniTalk", "Value of the header X-Hub-Token"),
        help_text=pgettext_lazy("UniTalk", "A long password that you make up: UniTalk sends it with each event"),
        error_messages={"invalid": pgettext_lazy("UniTalk", "16 to 128 Latin letters, digits or signs, no blanks")},
        widget=forms.PasswordInput,
    )
    timezone = forms.ChoiceField(
        label=pgettext_lazy("UniTalk", "Time zone"),
        help_text=pgettext_lazy("UniTalk", "That of your UniTalk cabinet: its events give times without a zone"),
        choices=zones,
        initial="Europe/Kyiv",
    )
    api_url = forms.URLField(
        label=pgettext_lazy("UniTalk", "Address"),
        help_text=pgettext_lazy("UniTalk", "Accounts of former Nextel may have another one"),
        initial=DEFAULT_URL,
        max_length=200,
        assume_scheme="https",
    )
