"""What a customer fills in: the chain and its token, and how its calls are told."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from .contacts import LOCATIONS
from .service import SERVICES


class CredentialForm(forms.Form):
    """One chain. Each has a token of its own, so each is an account of its own."""

    network = forms.CharField(
        label=pgettext_lazy("Altegio", "Chain"),
        help_text=_(
            "The name of the chain that you connect. Each chain is connected by itself: its User token is its own."
        ),
        max_length=200,
    )
    service = forms.ChoiceField(
        label=pgettext_lazy("Altegio", "Service"),
        help_text=_("Where you work: YCLIENTS in Russia, Altegio elsewhere."),
        choices=[(known.slug, known.title) for known in SERVICES.values()],
        initial="altegio",
    )
    crm_token = forms.CharField(
        label=pgettext_lazy("Altegio", "User token"),
        help_text=_("In the chain: Telephony → Integration, the field “Token”."),
        max_length=255,
        widget=forms.PasswordInput(render_value=False),
    )
    login = forms.CharField(
        label=_("Login of a user"),
        help_text=_(
            "Not needed for calls. With it the names of clients are asked for, for the journal and for telephones that "
            "show them. The telephone number (digits only) or e-mail with which the user signs in."
        ),
        required=False,
        max_length=255,
    )
    password = forms.CharField(
        label=_("Password of this user"),
        help_text=_("Better of a user made for this, who may do no more than see clients of the chain."),
        required=False,
        max_length=255,
        strip=False,
        widget=forms.PasswordInput(render_value=False),
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("login") and not data.get("password"):
            words = _("Login and password belong together.")
            self.add_error("password", forms.ValidationError(words, code="required"))
        return data


class SettingsForm(forms.Form):
    """How calls are told. Which numbers, and whether at all, the house asks for every CRM."""

    blocks = (
        (
            pgettext_lazy("block of settings", "Integration parameters"),
            ("recording_minutes", "resend_with_recording", "send_user"),
        ),
        (pgettext_lazy("block of settings", "New clients"), ("location",)),
    )

    recording_minutes = forms.IntegerField(
        label=_("Wait for the recording, minutes"),
        help_text=_(
            "An answered call is saved together with its recording: a link cannot be added later. After so many "
            "minutes it is saved without. 0: do not wait. A call of which no recording is announced waits for a minute "
            "at the most."
        ),
        min_value=0,
        max_value=60,
        initial=5,
    )
    resend_with_recording = forms.BooleanField(
        label=_("Save the call once more when its recording comes later"),
        help_text=_(
            "For recordings that came after the wait. Altegio does not say whether it adds the link to the call or "
            "shows the call a second time: try it with one call before you leave it on."
        ),
        required=False,
    )
    send_user = forms.BooleanField(
        label=_("Pass the employee's extension (SIP)"),
        help_text=_(
            "Only if Routing is set up by subscribers (SIP) and not by numbers: in Altegio the subscriber goes before "
            "the number. Of a group the one who rings first is passed."
        ),
        required=False,
    )
    location = forms.CharField(
        label=_("Location of new clients"),
        help_text=_(
            "Where a client is made with “Create the client” in the call card. Needs login and password of a user in "
            "the credentials. Not needed where the chain has one location."
        ),
        required=False,
        max_length=32,
        widget=forms.Select(attrs={"data-source": LOCATIONS}),
    )
