"""Forms of the portal, spoken to in JSON: what they take, described by JSON Schema, and what was sent, as they read it.

{"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "additionalProperties": false,
 "required": ["api_key"], "properties": {"api_key": {"title": "API key", "type": "string", "writeOnly": true}}}
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext as _

from employees.forms import FORGET

from .problems import Problem

DRAFT = "https://json-schema.org/draft/2020-12/schema"
DEPENDS_ON, CHOICES_OF = "x-depends-on", "x-choices-of"
"""Our own keywords: the switch without which a field has no effect; the CRM's list that its values come from."""


# --- What a form takes ------------------------------------------------------------------------------------------------


def form_schema(form: forms.BaseForm, secret_fields: Collection[str] = ()) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what a form takes, in the reader's language. Secrets are `writeOnly`."""
    depends: Mapping[str, str] = getattr(form, "depends", {})
    properties = {
        name: _property(field, form.get_initial_for_field(field, name)) for name, field in form.fields.items()
    }
    for name in properties.keys() & set(secret_fields):
        properties[name].pop("default", None)
        properties[name]["writeOnly"] = True
    for name in properties.keys() & depends.keys():
        properties[name][DEPENDS_ON] = depends[name]
    return {
        "$schema": DRAFT,
        "type": "object",
        "properties": properties,
        "required": [name for name, field in form.fields.items() if field.required],
        "additionalProperties": False,
    }


def _property(field: forms.Field, initial: Any) -> dict[str, Any]:
    told: dict[str, Any] = {"title": str(field.label or "")}
    if field.help_text:
        told["description"] = str(field.help_text)
    told |= _kind(field)
    if source := field.widget.attrs.get("data-source"):
        told[CHOICES_OF] = source
    if initial not in (None, ""):
        told["default"] = _plain(field, initial)
    return told


def _kind(field: forms.Field) -> dict[str, Any]:
    if isinstance(field, forms.BooleanField):
        return {"type": "boolean"}
    if isinstance(field, forms.MultipleChoiceField):
        return {"type": "array", "items": {"type": "string", **_choices(field)}, "uniqueItems": True}
    if isinstance(field, forms.ChoiceField):
        return {"type": "string", **_choices(field)}
    if isinstance(field, forms.IntegerField):  # also those with a fraction
        kind = "number" if isinstance(field, forms.FloatField | forms.DecimalField) else "integer"
        return {"type": kind, **_told(minimum=field.min_value, maximum=field.max_value)}
    formats: dict[type[forms.Field], str] = {forms.URLField: "uri", forms.EmailField: "email"}
    named = next((name for kind, name in formats.items() if isinstance(field, kind)), None)
    longest, shortest = getattr(field, "max_length", None), getattr(field, "min_length", None)
    return {"type": "string", **_told(format=named, minLength=shortest, maxLength=longest)}


def _choices(field: forms.ChoiceField) -> dict[str, Any]:
    """The values alone, and each with what people read. Nothing where a CRM is asked for them."""
    rows: list[Any] = list(field.choices)  # type: ignore[arg-type]
    if not rows:
        return {}
    return {
        "enum": [str(value) for value, _title in rows],
        "oneOf": [{"const": str(value), "title": str(title)} for value, title in rows],
    }


def _told(**keywords: Any) -> dict[str, Any]:
    return {name: value for name, value in keywords.items() if value is not None}


def _plain(field: forms.Field, value: Any) -> Any:
    """A value of a form as JSON has it. What is stored may be text, whatever the field."""
    if isinstance(field, forms.BooleanField):
        return field.to_python(value)
    if isinstance(field, forms.MultipleChoiceField):
        return [str(each) for each in value]
    if isinstance(field, forms.IntegerField):
        return field.to_python(value)
    return str(value)


def told(form: forms.BaseForm, secret_fields: Collection[str] = ()) -> dict[str, Any]:
    """What a form shows, as JSON; nothing of its secrets."""
    initial = {name: form.get_initial_for_field(field, name) for name, field in form.fields.items()}
    return {
        name: _plain(form.fields[name], value) if value not in (None, "") else _nothing(form.fields[name])
        for name, value in initial.items()
        if name not in secret_fields
    }


def _nothing(field: forms.Field) -> Any:
    if isinstance(field, forms.BooleanField):
        return False
    if isinstance(field, forms.MultipleChoiceField):
        return []
    return None if isinstance(field, forms.IntegerField) else ""


# --- What was sent ----------------------------------------------------------------------------------------------------


def posted(
    form: forms.BaseForm, sent: Mapping[str, Any], secret_fields: Collection[str] = (), place: str = ""
) -> QueryDict:
    """`sent` as a browser would post it to `form` (which is not bound). What is not sent stays as the form shows it; an
    empty secret is forgotten. `place`: where `sent` stands in the body, as in `keys.`.

    Raises a `Problem` where a value is not of its field's type, or nobody knows the field.
    """
    _of_its_type(form, sent, place)
    values = told(form, secret_fields) | {
        name: _nothing(form.fields[name]) if v is None else v for name, v in sent.items()
    }
    data = QueryDict(mutable=True)
    for name, value in values.items():
        if isinstance(value, list):
            data.setlist(name, value)
        else:
            data[name] = "" if value is None else str(value)
        if name in secret_fields and not value:
            data[FORGET + name] = "on"
    return data


def _of_its_type(form: forms.BaseForm, sent: Mapping[str, Any], place: str) -> None:
    errors = []
    for name, value in sent.items():
        if name not in form.fields:
            errors.append({"field": f"{place}{name}", "code": "unknown", "detail": _("There is no such field.")})
        elif value is not None and not _FITS[kind := _kind(form.fields[name])["type"]](value):
            words = _("This must be of the type “%(type)s”.") % {"type": kind}
            errors.append({"field": f"{place}{name}", "code": "type", "detail": words})
    if errors:
        raise Problem("invalid", errors=errors)


def _is_text(value: Any) -> bool:
    """Half of a pair of surrogates, which JSON can hold, is no text."""
    return isinstance(value, str) and not any("\ud800" <= letter <= "\udfff" for letter in value)


_FITS: dict[str, Callable[[Any], bool]] = {
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list) and all(map(_is_text, value)),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": _is_text,
}
