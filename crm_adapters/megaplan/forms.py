"""What a customer fills in: login, password and domain, and the documented toggles in the order of the document."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from crm_adapters.base import FORWARD
from crm_adapters.values import listed

from . import address
from .directory import CATEGORIES

_ID = RegexValidator(r"^[1-9]\d*$", _("Choose from the list."))
_UUID = RegexValidator(r"^[0-9A-Fa-f-]{32,36}$", _("This is no UUID."))


class CredentialForm(forms.Form):
    """Who writes calls, and where."""

    username = forms.CharField(
        label=pgettext_lazy("Megaplan", "Login (username)"),
        help_text=_(
            "Of a user who sees all clients and may use the telephony: best of «Directors» or «Administrators»."
        ),
        max_length=255,
    )
    password = forms.CharField(
        label=pgettext_lazy("Megaplan", "Password"),
        max_length=255,
        strip=False,
        widget=forms.PasswordInput(render_value=False),
    )
    domain = forms.CharField(
        label=pgettext_lazy("Megaplan", "Megaplan's domain"),
        help_text=_("YOURDOMAIN.megaplan.ru: the part YOURDOMAIN is your own. An address that you copy will do."),
        max_length=255,
        widget=forms.TextInput(attrs={"placeholder": "example.megaplan.ru"}),
    )
    application_uuid = forms.CharField(
        label=_("UUID of your application"),
        help_text=_("Only if you have made an application in Megaplan for changed clients: see the guide."),
        required=False,
        max_length=36,
        validators=[_UUID],
    )

    def clean_domain(self) -> str:
        try:
            return address.domain_of(self.cleaned_data["domain"])
        except ValueError:
            raise forms.ValidationError(_("This is no address of Megaplan."), code="invalid") from None


def _choice(label: Any, help_text: Any, source: str, *, required: bool) -> forms.CharField:
    return listed(source, label, help_text, _ID, required=required)


class SettingsForm(forms.Form):
    """The toggles of the integration. `blocks`: titles with names of fields, in order. `depends`: a field that is shown
    only when another is on."""

    blocks = (
        (pgettext_lazy("Megaplan", "Integration parameters"), ("default_responsible",)),
        (
            pgettext_lazy("Megaplan", "Additional functions"),
            (
                FORWARD,
                "create_client_incoming",
                "create_client_outgoing",
                "create_communication",
                "communication_types",
                "communication_category",
                "keep_absent",
                "absent_user",
            ),
        ),
    )
    depends = {
        "communication_types": "create_communication",
        "communication_category": "create_communication",
        "absent_user": "keep_absent",
    }

    default_responsible = _choice(
        pgettext_lazy("Megaplan", "Default responsible"),
        _("The manager who becomes responsible for calls that had no employee."),
        "users",
        required=True,
    )
    forward_to_personal_manager = forms.BooleanField(
        label=pgettext_lazy("Megaplan", "Forwarding to the personal manager"),
        help_text=_(
            "Works with a scenario in the PBX that has this operation, and when the internal numbers of the employees "
            "are the same in the PBX and in Megaplan."
        ),
        required=False,
    )
    create_client_incoming = forms.BooleanField(
        label=_("At an incoming call from an unknown number a new client is created in Megaplan"),
        required=False,
    )
    create_client_outgoing = forms.BooleanField(
        label=_("At an outgoing call to an unknown number a new contact is created in Megaplan"),
        required=False,
    )
    create_communication = forms.BooleanField(
        label=_("Create a communication for a call"),
        help_text=_("A to-do with the call, in the card of the client. One that is there already is enough."),
        required=False,
    )
    communication_types = forms.MultipleChoiceField(
        label=pgettext_lazy("Megaplan", "Kinds of calls"),
        help_text=_("For which calls a communication is created."),
        choices=[
            ("in", pgettext_lazy("Megaplan", "Incoming, answered")),
            ("miss", pgettext_lazy("Megaplan", "Missed")),
            ("out", pgettext_lazy("Megaplan", "Outgoing, answered")),
            ("fail", pgettext_lazy("Megaplan", "Outgoing without an answer")),
        ],
        initial=["in", "miss", "out", "fail"],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    communication_category = _choice(
        pgettext_lazy("Megaplan", "Kind of the to-do"),
        _("As what the communication is written: usually «Call»."),
        CATEGORIES,
        required=False,
    )
    keep_absent = forms.BooleanField(
        label=_("Keep the history of calls of employees who are not in Megaplan"),
        help_text=_("It is kept in the name of the chosen user. While this is off, such calls are not written."),
        required=False,
    )
    absent_user = _choice(
        pgettext_lazy("Megaplan", "In whose name"),
        _("The user in whose name calls of employees are kept who are not in Megaplan."),
        "users",
        required=False,
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("create_communication"):
            self._need(data, "communication_types", _("Choose at least one kind of calls."))
            self._need(data, "communication_category", _("Choose the kind of the to-do."))
        if data.get("keep_absent"):
            self._need(data, "absent_user", _("Choose in whose name the calls are kept."))
        return data

    def _need(self, data: dict[str, Any], name: str, words: Any) -> None:
        if not data.get(name) and name not in self.errors:
            self.add_error(name, forms.ValidationError(words, code="required"))
