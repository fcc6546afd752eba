"""What a customer fills in: the account's keys, and the settings that concern Planfix, with Planfix's own words."""

from __future__ import annotations

import secrets as random
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.validators import RegexValidator
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from crm_adapters.values import listed

from . import address

_USER = RegexValidator(r"^user:[1-9]\d*$", pgettext_lazy("Planfix", "Choose an employee of Planfix."))
_NUMBER = RegexValidator(r"^[1-9]\d*$", pgettext_lazy("Planfix", "Choose one of the list."))
_FIELD = RegexValidator(r"^[^=&\s]+$", pgettext_lazy("Planfix", "A field's name without spaces."))


def new_key() -> str:
    return random.token_hex(16)


class CredentialForm(forms.Form):
    """One account. Planfix itself tells address and key of its telephony when ours are saved there."""

    domain = forms.CharField(
        label=pgettext_lazy("Planfix", "Account address"),
        help_text=pgettext_lazy("Planfix", "The address of your account, for example https://example.planfix.ru/"),
        max_length=255,
        widget=forms.TextInput(attrs={"placeholder": "https://example.planfix.ru/"}),
    )
    token = forms.CharField(
        label=pgettext_lazy("Planfix", "PBX authorisation key"),
        help_text=pgettext_lazy(
            "Planfix", "Our key: copy it into Planfix («Ключ авторизации АТС»). It was made up for you."
        ),
        initial=new_key,
        min_length=16,
        max_length=128,
    )
    planfix_url = forms.CharField(
        label=pgettext_lazy("Planfix", "Address for requests (URL)"),
        help_text=pgettext_lazy(
            "Planfix", "Leave it empty: Planfix tells it by itself when you save the connection there."
        ),
        required=False,
        max_length=300,
    )
    planfix_token = forms.CharField(
        label=pgettext_lazy("Planfix", "Authorisation key (token) of Planfix"),
        help_text=pgettext_lazy(
            "Planfix", "Leave it empty: Planfix tells it by itself when you save the connection there."
        ),
        required=False,
        max_length=128,
        widget=forms.PasswordInput(render_value=False),
    )
    rest_token = forms.CharField(
        label=pgettext_lazy("Planfix", "REST API token"),
        help_text=pgettext_lazy(
            "Planfix",
            "Not needed for calls as such. With it: responsibles, recordings in tasks, tasks after calls, calls that "
            "were missed while there was no connection. Account management, API access, REST API.",
        ),
        required=False,
        max_length=255,
        widget=forms.PasswordInput(render_value=False),
    )

    def clean_domain(self) -> str:
        try:
            return address.origin(self.cleaned_data["domain"]).removeprefix("https://")
        except ValueError:
            raise forms.ValidationError(pgettext_lazy("Planfix", "This is no account's address."), "invalid") from None

    def clean_planfix_url(self) -> str:
        """As it was typed: an account's address may not be built."""
        typed: str = self.cleaned_data["planfix_url"].strip()
        try:
            if typed and not (address.origin(typed) and "://" in typed):
                raise ValueError
        except ValueError:
            words = pgettext_lazy("Planfix", "The address looks like https://example.planfix.ru/tel/api")
            raise forms.ValidationError(words, "invalid") from None
        return typed

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if bool(data.get("planfix_url")) != bool(data.get("planfix_token")) and not self.errors:
            missing = "planfix_token" if data.get("planfix_url") else "planfix_url"
            words = pgettext_lazy("Planfix", "Address and key belong together.")
            self.add_error(missing, forms.ValidationError(words, code="required"))
        return data


def _listed(source: str, label: Any, help_text: Any, validator: RegexValidator = _NUMBER) -> forms.CharField:
    return listed(source, label, help_text, validator, required=False)


class _Ids(forms.TypedMultipleChoiceField):
    """Ids of several of a list that only Planfix knows."""

    def valid_value(self, value: Any) -> bool:
        return str(value).isdecimal()


def _several(source: str, label: Any, help_text: Any) -> forms.Field:
    widget = forms.SelectMultiple(attrs={"data-source": source})
    return _Ids(label=label, help_text=help_text, widget=widget, required=False, coerce=str, empty_value=[])


class SettingsForm(forms.Form):
    """The settings of the integration. `blocks`: titles with names of fields, in order."""

    blocks = (
        (
            pgettext_lazy("block of settings", "Integration parameters"),
            ("mode", "no_operator_extension", "call_id_field", "use_call_tracking", "time_zone"),
        ),
        (
            pgettext_lazy("block of settings", "Forwarding the call to the responsible"),
            ("forward_to_personal_manager",),
        ),
        (
            pgettext_lazy("block of settings", "A new contact by a call"),
            (
                "responsible",
                "create_contact_incoming",
                "create_contact_outgoing",
                "contact_template",
                "default_responsible",
            ),
        ),
        (
            pgettext_lazy("block of settings", "Recordings of conversations"),
            (
                "attach_to",
                "task_role",
                "task_templates",
                "task_statuses_are",
                "task_statuses",
                "task_days",
                "if_no_task",
            ),
        ),
        (
            pgettext_lazy("block of settings", "Task after a call"),
            ("task_after", "new_task_template", "contact_role"),
        ),
    )

    mode = forms.ChoiceField(
        label=pgettext_lazy("Planfix", "How calls are passed"),
        help_text=pgettext_lazy(
            "Planfix",
            "Planfix's telephony shows the call window, makes contacts and writes the data tags itself. REST API only: "
            "we write contacts and data tags, there is no call window and no call by a click; telephony must then be "
            "switched off in Planfix, else each call is there twice.",
        ),
        choices=[
            ("voip", pgettext_lazy("Planfix", "Planfix's telephony (API for telephony)")),
            ("rest", pgettext_lazy("Planfix", "REST API only")),
        ],
        initial="voip",
        widget=forms.RadioSelect,
    )
    no_operator_extension = forms.CharField(
        label=pgettext_lazy("Planfix", "Short number for calls nobody was rung for"),
        help_text=pgettext_lazy(
            "Planfix",
            "Calls that ended in the voice menu or in a queue are told as missed by this short number. Without it such "
            "calls stay in our journal only: Planfix takes no call without a short number.",
        ),
        max_length=32,
        required=False,
    )
    call_id_field = forms.CharField(
        label=pgettext_lazy("Planfix", "Field for the call's id"),
        help_text=pgettext_lazy(
            "Planfix",
            "The name of a field of the kind String that you have added to the data tags «Звонок» and «Пропущенный "
            "звонок», for example call_id. With it and a REST token a call whose confirmation was lost is looked for "
            "in Planfix; without it you are asked.",
        ),
        max_length=64,
        required=False,
        validators=[_FIELD],
    )
    use_call_tracking = forms.BooleanField(
        label=pgettext_lazy("Planfix", "Pass UTM tags"),
        help_text=pgettext_lazy(
            "Planfix",
            "Into fields of the kind String of both data tags that are named like the tags: utm_source, utm_medium, "
            "utm_campaign, utm_content, utm_term.",
        ),
        required=False,
        initial=True,
    )
    time_zone = forms.CharField(
        label=pgettext_lazy("Planfix", "Time zone of the REST token's user"),
        help_text=pgettext_lazy(
            "Planfix",
            "In which dates are written by REST: UTC, Europe/Moscow … Let the robot in Planfix have the same.",
        ),
        initial="UTC",
        max_length=64,
        required=False,
    )
    forward_to_personal_manager = forms.BooleanField(
        label=pgettext_lazy("Planfix", "Forward the call to the responsible"),
        help_text=pgettext_lazy(
            "Planfix",
            "The call goes to the employee who is responsible for the contact in Planfix, or to his deputy. For "
            "incoming calls only.",
        ),
        required=False,
    )
    responsible = forms.ChoiceField(
        label=pgettext_lazy("Planfix", "Responsible for a new contact"),
        help_text=pgettext_lazy(
            "Planfix",
            "Planfix itself makes the employee responsible who was rung first, even if another one answered. We set "
            "the one who talked. A contact that was there before keeps its responsible. Needs a REST token.",
        ),
        choices=[
            ("", pgettext_lazy("Planfix", "As Planfix sets it")),
            ("first", pgettext_lazy("Planfix", "The first who talks")),
            ("last", pgettext_lazy("Planfix", "The last who talks")),
        ],
        required=False,
        widget=forms.RadioSelect,
    )
    create_contact_incoming = forms.BooleanField(
        label=pgettext_lazy("Planfix", "Create a contact at an incoming call"),
        help_text=pgettext_lazy(
            "Planfix", "For REST API only: with Planfix's telephony its own settings decide. No contact is made twice."
        ),
        required=False,
        initial=True,
    )
    create_contact_outgoing = forms.BooleanField(
        label=pgettext_lazy("Planfix", "Create a contact at an outgoing call"),
        help_text=pgettext_lazy("Planfix", "For REST API only, as above."),
        required=False,
        initial=True,
    )
    contact_template = _listed(
        "contact_templates",
        pgettext_lazy("Planfix", "Template for new contacts"),
        pgettext_lazy("Planfix", "For contacts that we make by REST. Without it Planfix takes its own."),
    )
    default_responsible = _listed(
        "users",
        pgettext_lazy("Planfix", "Responsible if nobody has answered"),
        pgettext_lazy("Planfix", "For contacts that we make by REST."),
        _USER,
    )
    attach_to = forms.ChoiceField(
        label=pgettext_lazy("Planfix", "Where to attach recordings"),
        help_text=pgettext_lazy(
            "Planfix",
            "“As Planfix is set”: we give Planfix the link, its own telephony settings decide. Otherwise Planfix is "
            "told of no recording, and we attach it by REST: no recording is there twice. Needs a REST token.",
        ),
        choices=[
            ("planfix", pgettext_lazy("Planfix", "As Planfix is set")),
            ("card", pgettext_lazy("Planfix", "To the contact's card")),
            ("card_hidden", pgettext_lazy("Planfix", "To the contact's card, as a hidden comment")),
            ("last", pgettext_lazy("Planfix", "To the contact's last active task")),
            ("last_hidden", pgettext_lazy("Planfix", "To the contact's last active task, as a hidden comment")),
            ("matching", pgettext_lazy("Planfix", "To the last task that matches conditions")),
            (
                "matching_hidden",
                pgettext_lazy("Planfix", "To the last task that matches conditions, as a hidden comment"),
            ),
            ("new", pgettext_lazy("Planfix", "Create a task by each call")),
        ],
        initial="planfix",
    )
    task_role = forms.ChoiceField(
        label=pgettext_lazy("Planfix", "The contact in the task"),
        help_text=pgettext_lazy("Planfix", "Among which tasks of the contact the last one is looked for."),
        choices=[
            ("counterparty", pgettext_lazy("Planfix", "Is the counterparty")),
            ("participant", pgettext_lazy("Planfix", "Takes part in the task")),
        ],
        initial="counterparty",
    )
    task_templates = _several(
        "task_templates",
        pgettext_lazy("Planfix", "Condition: object or template"),
        pgettext_lazy("Planfix", "One of these. Nothing chosen: any."),
    )
    task_statuses_are = forms.ChoiceField(
        label=pgettext_lazy("Planfix", "Condition: status"),
        choices=[
            ("notequal", pgettext_lazy("Planfix", "Is none of these")),
            ("equal", pgettext_lazy("Planfix", "Is one of these")),
        ],
        initial="notequal",
    )
    task_statuses = _several(
        "task_statuses",
        pgettext_lazy("Planfix", "Statuses"),
        pgettext_lazy("Planfix", "Nothing chosen: the status does not matter."),
    )
    task_days = forms.IntegerField(
        label=pgettext_lazy("Planfix", "Condition: created in the last … days"),
        help_text=pgettext_lazy("Planfix", "Empty: at any time."),
        min_value=1,
        max_value=3650,
        required=False,
    )
    if_no_task = forms.ChoiceField(
        label=pgettext_lazy("Planfix", "If there is no such task"),
        choices=[
            ("card", pgettext_lazy("Planfix", "Attach to the contact's card")),
            ("new", pgettext_lazy("Planfix", "Create a new task")),
        ],
        initial="card",
    )
    task_after = forms.MultipleChoiceField(
        label=pgettext_lazy("Planfix", "Create a task after a call"),
        help_text=pgettext_lazy("Planfix", "For these kinds of calls. Needs a REST token."),
        choices=[
            ("in_answered", pgettext_lazy("Planfix", "Incoming, answered")),
            ("in_missed", pgettext_lazy("Planfix", "Incoming, missed")),
            ("out_answered", pgettext_lazy("Planfix", "Outgoing, answered")),
            ("out_failed", pgettext_lazy("Planfix", "Outgoing, failed")),
        ],
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    new_task_template = _listed(
        "task_templates",
        pgettext_lazy("Planfix", "Template of a new task"),
        pgettext_lazy("Planfix", "Also for a task that is made where there is none."),
    )
    contact_role = forms.ChoiceField(
        label=pgettext_lazy("Planfix", "The contact in a new task"),
        choices=[
            ("counterparty", pgettext_lazy("Planfix", "Contact is the counterparty")),
            ("assignee", pgettext_lazy("Planfix", "Contact is the assignee")),
        ],
        initial="counterparty",
    )

    def clean_time_zone(self) -> str:
        name: str = self.cleaned_data["time_zone"].strip()
        try:
            ZoneInfo(name or "UTC")
        except (ValueError, OSError, KeyError):
            raise forms.ValidationError(_("There is no such time zone."), code="invalid") from None
        return name

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        conditions = ("task_templates", "task_statuses", "task_days")
        if str(data.get("attach_to") or "").startswith("matching") and not any(data.get(name) for name in conditions):
            words = pgettext_lazy("Planfix", "Choose at least one condition.")
            self.add_error("task_templates", forms.ValidationError(words, code="required"))
        return data
