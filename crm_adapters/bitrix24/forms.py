"""What a customer fills in: the portal's keys, and the documented toggles in the order of the document."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from crm_adapters.values import listed

from . import address
from .tags import FIELDS as UTM_FIELDS

WIDGET = "webrtc"
"""The telephony mode in which employees talk in Bitrix24's pages."""
_CRM_USER = RegexValidator(r"^[1-9]\d*$", _("Choose a user of Bitrix24."))


class CredentialForm(forms.Form):
    """The keys of one portal: an application's, or an incoming webhook as a way with less."""

    domain = forms.CharField(
        label=_("Portal domain"),
        help_text=_("The address of your portal, for example https://example.bitrix24.ru/"),
        max_length=255,
    )
    client_id = forms.CharField(
        label=_("Application code (client_id)"),
        help_text=_("From the card of the local application in Bitrix24."),
        required=False,
        max_length=255,
    )
    client_secret = forms.CharField(
        label=_("Application key (client_secret)"),
        help_text=_("From the card of the local application in Bitrix24."),
        required=False,
        max_length=255,
        widget=forms.PasswordInput(render_value=False),
    )
    webhook_url = forms.CharField(
        label=_("Incoming webhook"),
        help_text=_(
            "Only where there is no application. A webhook may not be allowed to write calls, and there is no "
            "call by a click with it."
        ),
        required=False,
        max_length=500,
        widget=forms.PasswordInput(render_value=False),
    )
    oauth_url = forms.CharField(
        label=_("Authorisation server"),
        help_text=_("Leave it empty: Bitrix24's own is used."),
        required=False,
        max_length=255,
    )

    def clean_domain(self) -> str:
        try:
            return address.domain_of(self.cleaned_data["domain"])
        except ValueError:
            raise forms.ValidationError(_("This is no portal's address."), code="invalid") from None

    def clean_webhook_url(self) -> str:
        typed = self.cleaned_data["webhook_url"]
        hook = address.webhook(typed)
        if typed and not hook:
            words = _("A webhook's address looks like https://example.bitrix24.ru/rest/1/abcdef/")
            raise forms.ValidationError(words, code="invalid")
        return hook.url if hook else ""

    def clean_oauth_url(self) -> str:
        typed = self.cleaned_data["oauth_url"]
        try:
            return address.origin(typed) if typed else ""
        except ValueError:
            raise forms.ValidationError(_("This is no server's address."), code="invalid") from None

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if bool(data.get("client_id")) != bool(data.get("client_secret")):
            missing = "client_secret" if data.get("client_id") else "client_id"
            self.add_error(missing, forms.ValidationError(_("The code and the key belong together."), code="required"))
        has_webhook = data.get("webhook_url") or "webhook_url" in self.errors
        if not data.get("client_id") and not has_webhook and not self.errors:
            self.add_error(
                "client_id", forms.ValidationError(_("An application or a webhook is needed."), code="required")
            )
        return data


def _user_field(label: Any, help_text: Any) -> forms.CharField:
    return listed("users", label, help_text, _CRM_USER)


class SettingsForm(forms.Form):
    """The toggles of the integration. `blocks`: titles with names of fields, in order. `depends`: a field that is shown
    only when another is on."""

    blocks = (
        (pgettext_lazy("block of settings", "Integration parameters"), ("telephony_mode",)),
        (
            pgettext_lazy("block of settings", "Incoming"),
            (
                "forward_to_personal_manager",
                "create_entity_incoming",
                "default_responsible_incoming",
                "assign_incoming_to",
            ),
        ),
        (pgettext_lazy("block of settings", "Outgoing"), ("create_entity_outgoing", "default_responsible_outgoing")),
        (pgettext_lazy("block of settings", "Other"), ("use_call_tracking", "utm_tags", "post_call_message_to_chat")),
    )
    depends = {"utm_tags": "use_call_tracking"}

    telephony_mode = forms.ChoiceField(
        label=_("Telephony mode"),
        help_text=_(
            "IP telephony: employees talk on a telephone or a softphone, and Bitrix24 shows the client's card. "
            "WebRTC widget: they talk in Bitrix24 itself, and its card answers, holds and hangs up; for PBXs that take "
            "phones in browsers."
        ),
        choices=[(WIDGET, _("Use the WebRTC widget")), ("ip", _("Use IP telephony"))],
        initial="ip",
        widget=forms.RadioSelect,
    )
    forward_to_personal_manager = forms.BooleanField(
        label=_("Forwarding to the personal manager"),
        help_text=_(
            "Forwards the call according to the personal manager who is set at the contact in the CRM. The "
            "personal manager is looked up when a call goes through a scenario. For incoming calls only."
        ),
        required=False,
    )
    create_entity_incoming = forms.BooleanField(
        label=_("Create an entity at an incoming call"),
        help_text=_(
            "When this is on, entities are created at an incoming call, depending on the mode of work with the "
            "CRM that is set in Bitrix24."
        ),
        required=False,
    )
    default_responsible_incoming = _user_field(
        _("Default responsible for an incoming call"),
        _("The employee who becomes responsible for the entity or the call when an incoming call was missed."),
    )
    assign_incoming_to = forms.ChoiceField(
        label=_("Assign responsibility to"),
        help_text=_(
            "Who becomes responsible for a successful call: the employee who talked with the client first, or "
            "last. It matters for new leads when the call was transferred during the conversation."
        ),
        choices=[("first", _("The first who talks")), ("last", _("The last who talks"))],
        initial="first",
        widget=forms.RadioSelect,
    )
    create_entity_outgoing = forms.BooleanField(
        label=_("Create an entity at an outgoing call"),
        help_text=_(
            "When this is on, entities are created at an outgoing call, depending on the mode of work with the "
            "CRM that is set in Bitrix24."
        ),
        required=False,
    )
    default_responsible_outgoing = _user_field(
        _("Default responsible for an outgoing call"),
        _("Responsible for an outgoing call when the responsible is not found in the system."),
    )
    use_call_tracking = forms.BooleanField(
        label=_("Use CallTracking"),
        help_text=_("When this is on, you can choose which UTM tags are passed to Bitrix24."),
        required=False,
    )
    utm_tags = forms.MultipleChoiceField(
        label=_("UTM tags"),
        help_text=_("The tags that are written to the lead or deal which the call has created."),
        choices=[(tag, tag) for tag in UTM_FIELDS],
        initial=list(UTM_FIELDS),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    post_call_message_to_chat = forms.BooleanField(
        label=_("Add a message about the call to the employee's chat"),
        help_text=_("When this is on, a message about the call comes to the employee's chat."),
        required=False,
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("use_call_tracking") and not data.get("utm_tags") and "utm_tags" not in self.errors:
            self.add_error("utm_tags", forms.ValidationError(_("Choose at least one tag."), code="required"))
        return data
