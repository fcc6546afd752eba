"""A file with everything that `provision` understands, made from the forms of the vendors that are installed."""

from __future__ import annotations

import json
import secrets
import textwrap
from collections.abc import Iterator
from typing import Any

from django import forms
from django.utils.translation import gettext as _

from crm_adapters import registry as crms
from employees.forms import defaults
from employees.models import Company, Role
from telephony.providers import registry as pbxs

WIDTH = 118
STAND_INS = ("change-me", "1", "portal.example.com", "https://portal.example.com/")
"""Tried in turn where a form wants a value and offers none."""


def example() -> str:
    """The file. It is valid as it is."""
    return "\n".join([*_head(), *_people(), *_connections(), *_credentials(), *_integrations()]) + "\n"


def _head() -> Iterator[str]:
    yield from _comment(
        _(
            "One company as a file for `manage.py provision FILE` (YAML, or the same as JSON). Run twice it changes "
            "nothing the second time. What the file names is made or changed; a list that it gives is the whole list; "
            "what it leaves out stays as it is. Values here are the defaults, or stand for your own. The keys under "
            "`credentials` and `settings` are each vendor's own fields."
        )
    )
    yield ""
    yield "company:"
    yield from _field("name", _("Example company"), _("The company is found by its name."), 1)
    for name in ("time_zone", "region", "language"):
        field: Any = Company._meta.get_field(name)
        choices = " | ".join(str(value) for value, _title in field.choices or ())
        yield from _field(name, field.default, _said(field.verbose_name, field.help_text, choices), 1)


def _people() -> Iterator[str]:
    yield ""
    yield "users:"
    yield from _comment(
        _("Who signs in. The password is the first one, for somebody who is new; others keep their own."), 1
    )
    yield f"  - email: {_value('owner@example.com')}"
    yield from _field("role", Role.OWNER.value, " | ".join(Role.values), 2)
    yield from _field("password", secrets.token_urlsafe(12), "", 2)
    yield ""
    yield "employees:"
    yield from _comment(_("Who talks with clients. Calls with an employee's own phones are private."), 1)
    yield f"  - name: {_value(_('First employee'))}"
    yield from _field("email", "owner@example.com", _("Joins the employee with the user of this address."), 2)
    yield f"    extensions: {_value(['101'])}"
    yield f"    phones: {_value(['+79000000101'])}"
    yield f"  - name: {_value(_('Second employee'))}"
    yield f"    extensions: {_value(['102'])}"
    yield "    phones: []"


def _connections() -> Iterator[str]:
    yield ""
    yield "connections:"
    yield from _comment(
        _("PBX accounts. `key` names one inside this file, `name` (without it the key) in Callbridge."), 1
    )
    for place, provider in enumerate(pbxs.all_providers().values()):
        brands = " | ".join(brand.slug for brand in provider.brands)
        yield f"  - key: {_value(provider.slug)}"
        yield from _field("provider", provider.slug, provider.title, 2)
        yield from _field("brand", provider.brands[0].slug, brands, 2)
        yield from _field("name", provider.title, "", 2)
        yield "    credentials:"
        yield from _form(provider.form, dict(provider.brands[0].defaults))
        yield "    numbers:"
        yield f"      - {{number: {_value(_number(place))}, line_name: {_value(_('Shop'))}}}"


def _number(place: int) -> str:
    return f"+7495000{place:04d}"


def _credentials() -> Iterator[str]:
    yield ""
    yield "crm_credentials:"
    yield from _comment(_("Accounts in CRMs."), 1)
    for adapter in crms.all_adapters().values():
        yield f"  - key: {_value(adapter.slug)}"
        yield from _field("crm", adapter.slug, adapter.title, 2)
        yield from _field("name", adapter.title, "", 2)
        yield "    credentials:"
        yield from _form(adapter.credential_form, {})
        if tokens := adapter.token_fields:
            words = _("Only for an application that is installed already; else it is connected in the portal.")
            yield from _comment(words, 3)
            for token in tokens:
                yield from _field(token, "", "", 3)


def _integrations() -> Iterator[str]:
    yield ""
    yield "integrations:"
    for adapter in crms.all_adapters().values():
        yield f"  - key: {_value(adapter.slug)}"
        yield f"    connections: {_value(list(pbxs.all_providers()))}"
        yield from _field("credential", adapter.slug, "", 2)
        yield from _field("active", False, _("Off until it is switched on."), 2)
        yield from _field("numbers", [], _("The virtual numbers that it is for; empty: all of them."), 2)
        yield "    settings:"
        yield from _form(adapter.settings_form, {})
        yield "    employee_mapping:"
        yield f"      - extension: {_value('101')}"
        yield from _field("crm_user", "1", _("The employee's user in the CRM."), 4)
        words = _("Whether calls may be forwarded to him as a client's personal manager.")
        yield from _field("use_for_personal_manager", True, words, 4)


# --- Forms ------------------------------------------------------------------------------------------------------------


def _form(form: type[forms.Form], given: dict[str, Any]) -> Iterator[str]:
    values = valid_values(form, given)
    for name, field in form.base_fields.items():
        yield from _field(name, values[name], _said(field.label or name, field.help_text, _choices(field)), 3)


def valid_values(form: type[forms.Form], given: dict[str, Any]) -> dict[str, Any]:
    """A value for every field that the form accepts: its own default where it has one, else a stand-in."""
    values = {name: _empty(field) for name, field in form.base_fields.items()} | defaults(form) | given
    waiting = {name: iter(_stand_ins(field)) for name, field in form.base_fields.items()}
    while errors := form(values).errors:
        wrong = [name for name in errors if name in waiting]
        changed = False
        for name in wrong:
            if (value := next(waiting[name], None)) is not None:
                values[name], changed = value, True
        if not changed:
            raise ValueError(f"no example is found for {form.__name__}: {', '.join(errors)}")
    return values


def _empty(field: forms.Field) -> Any:
    if isinstance(field, forms.BooleanField):
        return False
    return [] if isinstance(field, forms.MultipleChoiceField) else ""


def _stand_ins(field: forms.Field) -> list[Any]:
    if isinstance(field, forms.BooleanField):
        return [True]
    if isinstance(field, forms.ChoiceField):
        values = [value for value, _title in _pairs(field) if value]
        return [[value] for value in values] if isinstance(field, forms.MultipleChoiceField) else values
    if isinstance(field, forms.IntegerField):
        return [field.min_value or 1]
    hint = field.widget.attrs.get("placeholder", "")
    return [*([hint] if hint else []), *STAND_INS]


def _choices(field: forms.Field) -> str:
    if not isinstance(field, forms.ChoiceField):
        return ""
    return " | ".join(value if value == title else f"{value}: {title}" for value, title in _pairs(field) if value)


def _pairs(field: forms.ChoiceField) -> list[tuple[str, str]]:
    choices: Any = field.choices
    return [(str(value), str(title)) for value, title in choices]


# --- Lines ------------------------------------------------------------------------------------------------------------


def _said(label: Any, help_text: Any, choices: str) -> str:
    parts = [str(part).rstrip(".") for part in (label, help_text, choices) if part]
    return ". ".join(parts)


def _field(name: str, value: Any, words: str, depth: int) -> Iterator[str]:
    yield from _comment(words, depth)
    yield f"{'  ' * depth}{name}: {_value(value)}"


def _comment(words: str, depth: int = 0) -> Iterator[str]:
    begin = "  " * depth + "# "
    yield from textwrap.wrap(words, WIDTH, initial_indent=begin, subsequent_indent=begin)


def _value(value: Any) -> str:
    """A value as YAML: JSON is that."""
    return json.dumps(value, ensure_ascii=False, default=str)
