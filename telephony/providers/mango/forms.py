"""The credentials of a Mango connection, in the words of Mango's own cabinet."""

from __future__ import annotations

from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import pgettext_lazy

from .api import DEFAULT_URL


class MangoForm(forms.Form):
    """Labels carry the context `Mango`: another vendor's "Code" is another word."""

    api_url = forms.CharField(label=pgettext_lazy("Mango", "Address"), initial=DEFAULT_URL, max_length=200)
    api_key = forms.CharField(
        label=pgettext_lazy("Mango", "Code"),
        help_text=pgettext_lazy("Mango", "Unique code of your PBX"),
        max_length=128,
    )
    api_salt = forms.CharField(
        label=pgettext_lazy("Mango", "Secret"),
        help_text=pgettext_lazy("Mango", "Key for making the signature"),
        widget=forms.PasswordInput,
        max_length=128,
    )
    greeting_seconds = forms.FloatField(
        label=pgettext_lazy("Mango", "Length of the greeting, seconds"),
        help_text=pgettext_lazy(
            "Mango",
            "How long the greeting plays to a caller. The decision to forward the call to his manager must leave"
            " before it ends.",
        ),
        initial=2.5,
        min_value=0.5,
        max_value=30,
    )

    def clean_api_url(self) -> str:
        return base_url(self.cleaned_data["api_url"])


def base_url(typed: str) -> str:
    """The server's address as we keep it: with a scheme, without `/vpbx` and a slash at the end.

    Raises Django's `ValidationError` for what is no address of a server.
    """
    url = typed.strip()
    if "://" not in url:
        url = f"https://{url}"
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        parts, port = urlsplit(""), ""
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() for c in url) or "@" in parts.netloc:
        raise ValidationError(
            pgettext_lazy("Mango", "Enter the address of a server: %(example)s"),
            "invalid",
            {
                "example": DEFAULT_URL,
            },
        )
    path = f"{parts.path}/".partition("/vpbx/")[0].rstrip("/")
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{port}{path}"
