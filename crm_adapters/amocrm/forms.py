"""What a customer fills in: the account's keys, and the toggles of the integration."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from crm_adapters.values import listed

from . import address, tags, unknown

_CRM_USER = RegexValidator(r"^[1-9]\d*$", _("Choose a user of amoCRM."))
_STAGE = RegexValidator(r"^[1-9]\d*:[1-9]\d*$", _("Choose a stage of a pipeline."))
_TASK_TYPE = RegexValidator(r"^[1-9]\d*$", _("Choose a type of tasks."))
_RESULTS = (("answered", _("after a conversation")), ("missed", _("after a missed or unsuccessful call")))


class CredentialForm(forms.Form):
    """The keys of one account: an integration's, or a long-lived token as a way with less."""

    domain = forms.CharField(
        label=_("Account domain"),
        help_text=_("The address of your account, for example https://example.amocrm.ru or https://example.kommo.com"),
        max_length=255,
        widget=forms.TextInput(attrs={"placeholder": "example.amocrm.ru"}),
    )
    client_id = forms.CharField(
        label=_("Integration ID"),
        help_text=_("From the integration's tab “Keys and scopes”."),
        required=False,
        max_length=255,
    )
    client_secret = forms.CharField(
        label=_("Secret key"),
        help_text=_("From the integration's tab “Keys and scopes”."),
        required=False,
        max_length=255,
        widget=forms.PasswordInput(render_value=False),
    )
    long_lived_token = forms.CharField(
        label=_("Long-lived token"),
        help_text=_(
            "Only instead of connecting with the button: from the same tab. It cannot be renewed, so enter a new one "
            "before it ends. Calls by a click need the ID and the secret key as well."
        ),
        required=False,
        max_length=4_000,
        widget=forms.PasswordInput(render_value=False),
    )

    def clean_domain(self) -> str:
        try:
            return address.domain_of(self.cleaned_data["domain"])
        except ValueError:
            words = _("This is no account's address: it ends with amocrm.ru, amocrm.com or kommo.com.")
            raise forms.ValidationError(words, code="invalid") from None

    def clean_long_lived_token(self) -> str:
        return "".join(self.cleaned_data["long_lived_token"].split())

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if bool(data.get("client_id")) != bool(data.get("client_secret")):
            missing = "client_secret" if data.get("client_id") else "client_id"
            words = _("The ID and the secret key belong together.")
            self.add_error(missing, forms.ValidationError(words, code="required"))
        if not data.get("client_id") and not data.get("long_lived_token") and not self.errors:
            words = _("The integration's ID and key are needed, or a long-lived token.")
            self.add_error("client_id", forms.ValidationError(words, code="required"))
        return data


def _user_field(label: Any, help_text: Any) -> forms.CharField:
    return listed("users", label, help_text, _CRM_USER)


def _stage_field() -> forms.CharField:
    words = _("Where the deal is created; an unsorted entry takes the pipeline only. Empty: amoCRM's own choice.")
    return listed("stages", _("Pipeline and stage"), words, _STAGE, required=False, longest=40)


def _results_field(help_text: Any) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(
        label=_("Create it"),
        help_text=help_text,
        choices=list(_RESULTS),
        initial=[result for result, _words in _RESULTS],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )


class SettingsForm(forms.Form):
    """The toggles of the integration. `blocks`: titles with names of fields, in order. `depends`: a field that is shown
    only when another is on."""

    blocks = (
        (pgettext_lazy("amoCRM", "Integration parameters"), ("write_to",)),
        (
            pgettext_lazy("amoCRM", "Incoming"),
            (
                "notify_incoming",
                "forward_to_personal_manager",
                "unknown_incoming",
                "unknown_incoming_when",
                "unsorted_once",
                "stage_incoming",
                "default_responsible_incoming",
                "assign_incoming_to",
                "assign_missed_to",
                "task_after_missed",
                "task_type",
                "task_minutes",
                "task_text",
            ),
        ),
        (
            pgettext_lazy("amoCRM", "Outgoing"),
            ("unknown_outgoing", "unknown_outgoing_when", "stage_outgoing", "default_responsible_outgoing"),
        ),
        (pgettext_lazy("amoCRM", "Other"), ("lead_name", "use_call_tracking", "utm_tags")),
    )
    depends = {
        "task_type": "task_after_missed",
        "task_minutes": "task_after_missed",
        "task_text": "task_after_missed",
        "utm_tags": "use_call_tracking",
    }

    write_to = forms.ChoiceField(
        label=_("Where calls of known clients stand"),
        help_text=_(
            "amoCRM itself writes a call into the client's only active deal, and into his card where there is none or "
            "several. The other ways cost more requests for each call."
        ),
        choices=[
            ("auto", _("Where amoCRM puts them")),
            ("lead", _("In the newest active deal")),
            ("contact", _("In the card of the contact or company")),
        ],
        initial="auto",
        widget=forms.RadioSelect,
    )
    notify_incoming = forms.BooleanField(
        label=_("Notify of incoming calls"),
        help_text=_(
            "Employees whose phones ring see amoCRM's notification with the client's card. Only mapped employees."
        ),
        required=False,
        initial=True,
    )
    forward_to_personal_manager = forms.BooleanField(
        label=_("Forwarding to the personal manager"),
        help_text=_(
            "Forwards the call to the employee who is responsible for the contact in the CRM. The personal manager is "
            "looked up when a call goes through a scenario. For incoming calls only."
        ),
        required=False,
    )
    unknown_incoming = forms.ChoiceField(
        label=_("When the caller is unknown"),
        help_text=_(
            "An unsorted entry waits until somebody accepts it (unsorted entries must be switched on in the pipeline). "
            "A contact and a deal are there at once."
        ),
        choices=[
            (unknown.UNSORTED, _("Make an unsorted entry")),
            (unknown.LEAD, _("Create a contact and a deal")),
            (unknown.NOTHING, _("Create nothing")),
        ],
        initial=unknown.UNSORTED,
        widget=forms.RadioSelect,
    )
    unknown_incoming_when = _results_field(_("After which calls of unknown callers something is created."))
    unsorted_once = forms.BooleanField(
        label=_("One unsorted entry for each caller"),
        help_text=_(
            "While an entry of the same number waits, further calls are written into its deal. When this is off, each "
            "call makes an entry of its own."
        ),
        required=False,
        initial=True,
    )
    stage_incoming = _stage_field()
    default_responsible_incoming = _user_field(
        _("Default responsible for an incoming call"),
        _("The employee who becomes responsible for the deal or the call when an incoming call was missed."),
    )
    assign_incoming_to = forms.ChoiceField(
        label=_("Assign responsibility to"),
        help_text=_(
            "Who becomes responsible for a successful call: the employee who talked with the client first, or last. It "
            "matters when the call was transferred during the conversation."
        ),
        choices=[("first", _("The first who talks")), ("last", _("The last who talks"))],
        initial="first",
        widget=forms.RadioSelect,
    )
    assign_missed_to = forms.ChoiceField(
        label=_("A missed call of a known client goes to"),
        help_text=_("Whose call it is, and whose task. The client's manager costs one request more for a missed call."),
        choices=[("default", _("The default responsible")), ("manager", _("The client's manager"))],
        initial="default",
        widget=forms.RadioSelect,
    )
    task_after_missed = forms.BooleanField(
        label=_("Set a task after a missed call"),
        help_text=_("A task to call back at the deal, contact or company. An unsorted entry has none."),
        required=False,
    )
    task_type = listed("task_types", _("Type of the task"), _("Empty: amoCRM's usual one."), _TASK_TYPE, required=False)
    task_minutes = forms.IntegerField(
        label=_("Deadline, minutes after the call"),
        help_text=_("From one minute to thirty days."),
        initial=60,
        min_value=1,
        max_value=43_200,
        required=False,
    )
    task_text = forms.CharField(
        label=_("Text of the task"),
        help_text=_("{phone} becomes the client's number, {line} the line that he called."),
        initial=_("Call back {phone}"),
        required=False,
        max_length=500,
    )
    unknown_outgoing = forms.ChoiceField(
        label=_("When an unknown number is called"),
        help_text=_("Unsorted entries are for incoming calls only."),
        choices=[(unknown.LEAD, _("Create a contact and a deal")), (unknown.NOTHING, _("Create nothing"))],
        initial=unknown.NOTHING,
        widget=forms.RadioSelect,
    )
    unknown_outgoing_when = _results_field(_("After which calls to unknown numbers something is created."))
    stage_outgoing = _stage_field()
    default_responsible_outgoing = _user_field(
        _("Default responsible for an outgoing call"),
        _("Responsible for an outgoing call when who called is not mapped to a user of amoCRM."),
    )
    lead_name = forms.CharField(
        label=_("Name of a new deal"),
        help_text=_("{phone} becomes the client's number, {line} the line of the call."),
        initial=_("Call {phone}"),
        required=False,
        max_length=200,
    )
    use_call_tracking = forms.BooleanField(
        label=_("Use CallTracking"),
        help_text=_("When this is on, you can choose which UTM tags are passed to amoCRM."),
        required=False,
    )
    utm_tags = forms.MultipleChoiceField(
        label=_("UTM tags"),
        help_text=_("The tags that are written to the deal which the call has created."),
        choices=[(tag, tag) for tag in tags.TAGS],
        initial=list(tags.TAGS),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("use_call_tracking") and not data.get("utm_tags") and "utm_tags" not in self.errors:
            self.add_error("utm_tags", forms.ValidationError(_("Choose at least one tag."), code="required"))
        return data
