"""The credentials of a connection, in the words of `manager.conf` and of FreePBX's pages."""

from __future__ import annotations

from urllib.parse import urlsplit

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import pgettext_lazy

from telephony.providers.values import zones

from .channels import matcher

PLAIN, TLS, ANY_CERTIFICATE = "no", "yes", "any"
NO_RECORDINGS, ARI, WEB = "no", "ari", "web"


def _patterns(text: str) -> None:
    try:
        matcher(text)
    except ValueError as error:
        raise ValidationError(
            pgettext_lazy("Asterisk", "Write numbers, names with *, or patterns like _1XX")
        ) from error


def _web_socket(text: str) -> None:
    """Browsers take an address without TLS only on their own machine, from pages of that machine."""
    try:
        address = urlsplit(text)
        here = (address.hostname or "") in ("localhost", "127.0.0.1", "::1")
        fine = address.hostname and not address.username and (address.port is None or address.port > 0)
    except ValueError:
        fine = here = False
    if not fine or not (address.scheme == "wss" or (address.scheme == "ws" and here)):
        raise ValidationError(pgettext_lazy("Asterisk", "Write it like wss://pbx.example:8089/ws"))


class AsteriskForm(forms.Form):
    """Labels carry the context `Asterisk`."""

    ami_host = forms.CharField(
        label=pgettext_lazy("Asterisk", "AMI: server"),
        help_text=pgettext_lazy("Asterisk", "Name or address of the PBX as it can be reached from here"),
        max_length=200,
    )
    ami_port = forms.IntegerField(
        label=pgettext_lazy("Asterisk", "AMI: port"), initial=5038, min_value=1, max_value=65535
    )
    ami_tls = forms.ChoiceField(
        label=pgettext_lazy("Asterisk", "AMI: encryption"),
        choices=[
            (PLAIN, pgettext_lazy("Asterisk", "none (only through a VPN or in a network of your own)")),
            (TLS, pgettext_lazy("Asterisk", "TLS")),
            (ANY_CERTIFICATE, pgettext_lazy("Asterisk", "TLS, a certificate of the PBX's own making")),
        ],
        initial=PLAIN,
    )
    ami_user = forms.CharField(label=pgettext_lazy("Asterisk", "AMI: user"), max_length=100)
    ami_secret = forms.CharField(
        label=pgettext_lazy("Asterisk", "AMI: secret"), widget=forms.PasswordInput, max_length=200
    )
    trunks = forms.CharField(
        label=pgettext_lazy("Asterisk", "Trunks"),
        help_text=pgettext_lazy(
            "Asterisk",
            "Names of the trunks' endpoints, separated by commas; * stands for anything. Empty: everything that is no "
            "extension is a trunk.",
        ),
        required=False,
        max_length=1000,
        validators=[_patterns],
    )
    extensions = forms.CharField(
        label=pgettext_lazy("Asterisk", "Extensions"),
        help_text=pgettext_lazy("Asterisk", "Numbers or patterns as in the dialplan: X is a digit"),
        initial="_XX, _XXX, _XXXX",
        max_length=1000,
        validators=[_patterns],
    )
    dial_channel = forms.CharField(
        label=pgettext_lazy("Asterisk", "An employee's phone"),
        help_text=pgettext_lazy(
            "Asterisk",
            "How a phone is called, {extension} is the number: PJSIP/{extension}, Local/{extension}@from-internal/n",
        ),
        initial="PJSIP/{extension}",
        max_length=100,
    )
    dial_context = forms.CharField(
        label=pgettext_lazy("Asterisk", "Context of outgoing calls"), initial="from-internal", max_length=80
    )
    transfer_context = forms.CharField(
        label=pgettext_lazy("Asterisk", "Context of transfers"), initial="from-internal", max_length=80
    )
    sip_address = forms.CharField(
        label=pgettext_lazy("Asterisk", "Phones in browsers: address"),
        help_text=pgettext_lazy(
            "Asterisk",
            "Where the PBX takes SIP by WebSocket, as employees' browsers reach it: wss://pbx.example:8089/ws. Empty: "
            "nobody talks in the browser.",
        ),
        required=False,
        max_length=300,
        validators=[_web_socket],
    )
    sip_domain = forms.RegexField(
        r"^[A-Za-z0-9.:\[\]-]+$",
        label=pgettext_lazy("Asterisk", "Phones in browsers: SIP domain"),
        help_text=pgettext_lazy("Asterisk", "Empty: the server of the address"),
        required=False,
        max_length=200,
    )
    timezone = forms.ChoiceField(
        label=pgettext_lazy("Asterisk", "Time zone of the PBX"),
        help_text=pgettext_lazy("Asterisk", "Its call records give times without a zone"),
        choices=zones,
        initial="Europe/Moscow",
    )
    recordings = forms.ChoiceField(
        label=pgettext_lazy("Asterisk", "Recordings"),
        choices=[
            (NO_RECORDINGS, pgettext_lazy("Asterisk", "are not fetched")),
            (WEB, pgettext_lazy("Asterisk", "from a web folder of the PBX")),
            (ARI, pgettext_lazy("Asterisk", "by ARI (the folder “recording”)")),
        ],
        initial=NO_RECORDINGS,
    )
    recordings_url = forms.URLField(
        label=pgettext_lazy("Asterisk", "Recordings: address"),
        help_text=pgettext_lazy(
            "Asterisk", "The folder “monitor” as the web server shows it, or https://pbx.example:8089/ari"
        ),
        required=False,
        max_length=300,
        assume_scheme="https",
    )
    recordings_user = forms.CharField(
        label=pgettext_lazy("Asterisk", "Recordings: user"), required=False, max_length=100
    )
    recordings_password = forms.CharField(
        label=pgettext_lazy("Asterisk", "Recordings: password"),
        widget=forms.PasswordInput,
        required=False,
        max_length=200,
    )
    cdr_host = forms.CharField(
        label=pgettext_lazy("Asterisk", "Call records (CDR): server"),
        help_text=pgettext_lazy(
            "Asterisk",
            "MySQL or MariaDB with the PBX's call records. Empty: what goes by while there is no connection stays "
            "unknown.",
        ),
        required=False,
        max_length=200,
    )
    cdr_port = forms.IntegerField(
        label=pgettext_lazy("Asterisk", "CDR: port"), initial=3306, min_value=1, max_value=65535, required=False
    )
    cdr_user = forms.CharField(label=pgettext_lazy("Asterisk", "CDR: user"), required=False, max_length=100)
    cdr_password = forms.CharField(
        label=pgettext_lazy("Asterisk", "CDR: password"), widget=forms.PasswordInput, required=False, max_length=200
    )
    cdr_database = forms.RegexField(
        r"^[A-Za-z0-9_]{1,64}$",
        label=pgettext_lazy("Asterisk", "CDR: database"),
        initial="asteriskcdrdb",
        required=False,
    )
    cdr_table = forms.RegexField(
        r"^[A-Za-z0-9_]{1,64}$", label=pgettext_lazy("Asterisk", "CDR: table"), initial="cdr", required=False
    )
