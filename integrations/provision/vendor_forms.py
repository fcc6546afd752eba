"""Vendors' own forms, filled from a section of the file: what a form refuses is a problem with its line."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS
from django.utils.translation import gettext as _

from employees.forms import defaults

from .reading import Section
from .tree import Node

LONGEST = 10_000


def secrets_of(form: type[forms.Form], declared: Collection[str] = ()) -> set[str]:
    """Names of fields whose values are never shown: those the vendor declares, and those hidden while typed."""
    fields = form.base_fields.items()
    return {name for name, field in fields if isinstance(field.widget, forms.PasswordInput)} | set(declared)


def filled(
    form: type[forms.Form], section: Section, stored: Mapping[str, Any], secret: Iterable[str] = ()
) -> dict[str, Any] | None:
    """The form's cleaned data for what is `stored`, with what the section says above it; None when it is refused."""
    before = len(section.problems)
    given = {name: _value(section, name, field) for name, field in form.base_fields.items() if name in section.fields}
    if len(section.problems) > before:
        return None
    bound = form({**defaults(form), **stored, **given})
    if bound.is_valid():
        return bound.cleaned_data
    hidden = [section.fields[name].text for name in secret if name in section.fields]
    for name, errors in bound.errors.as_data().items():
        for error in errors:
            words = _without(" ".join(error.messages), hidden)
            section.wrong(words, "" if name == NON_FIELD_ERRORS else name)
    return None


def _value(section: Section, name: str, field: forms.Field) -> Any:
    node: Node = section.fields[name]
    if isinstance(field, forms.BooleanField):
        return section.flag(name)
    if isinstance(field, forms.MultipleChoiceField):
        return [text for _place, text in section.texts(name) or ()]
    return section.text_of(node, LONGEST)


def _without(words: str, hidden: Iterable[str]) -> str:
    """A form's words, unless they repeat a secret."""
    if any(value and value in words for value in hidden):
        return _("this value is not valid")
    return words


def as_texts(values: Mapping[str, Any]) -> dict[str, str]:
    """As credentials are kept."""
    return {name: "" if value is None else str(value) for name, value in values.items()}
