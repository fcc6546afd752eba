"""Forms in JSON: what they take, told by JSON Schema, and what was sent."""

from __future__ import annotations

from typing import Any

import pytest
from django import forms
from django.utils.translation import override
from jsonschema import Draft202012Validator

from crm_adapters import registry as crms
from employees.api.forms import form_schema, posted, told
from employees.api.problems import Problem
from employees.forms import FORGET, defaults
from telephony.providers import registry as pbxs


class Example(forms.Form):
    depends = {"tags": "tagging"}

    address = forms.URLField(label="Address", help_text="Where it is", assume_scheme="https", max_length=200)
    password = forms.CharField(label="Password", widget=forms.PasswordInput)
    minutes = forms.IntegerField(label="Minutes", min_value=1, max_value=60, initial=5, required=False)
    zone = forms.ChoiceField(label="Zone", choices=[("utc", "UTC"), ("msk", "Moscow")], initial="utc")
    tagging = forms.BooleanField(label="Tagging", required=False)
    tags = forms.MultipleChoiceField(label="Tags", choices=[("a", "A"), ("b", "B")], required=False)


SECRET = {"password"}


def test_a_form_is_described():
    schema = form_schema(Example(initial=defaults(Example) | {"password": "never told"}), SECRET)
    assert schema["required"] == ["address", "password", "zone"]
    assert schema["properties"] == {
        "address": {
            "title": "Address",
            "description": "Where it is",
            "type": "string",
            "format": "uri",
            "maxLength": 200,
        },
        "password": {"title": "Password", "type": "string", "writeOnly": True},
        "minutes": {"title": "Minutes", "type": "integer", "minimum": 1, "maximum": 60, "default": 5},
        "zone": {
            "title": "Zone",
            "type": "string",
            "enum": ["utc", "msk"],
            "oneOf": [{"const": "utc", "title": "UTC"}, {"const": "msk", "title": "Moscow"}],
            "default": "utc",
        },
        "tagging": {"title": "Tagging", "type": "boolean"},
        "tags": {
            "title": "Tags",
            "type": "array",
            "items": {
                "type": "string",
                "enum": ["a", "b"],
                "oneOf": [{"const": "a", "title": "A"}, {"const": "b", "title": "B"}],
            },
            "uniqueItems": True,
            "x-depends-on": "tagging",
        },
    }


FORMS: list[Any] = [(each.slug, each.form, each.secret_fields) for each in pbxs.all_providers().values()]
FORMS += [
    (f"{each.slug}-{form.__name__}", form, each.secret_fields)
    for each in crms.all_adapters().values()
    for form in (each.credential_form, each.settings_form)
]


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize(("name", "form", "secret"), FORMS, ids=[row[0] for row in FORMS])
def test_every_form_has_a_schema_that_its_defaults_obey(name, form, secret, language):
    with override(language):
        shown = form(initial=defaults(form))
        schema = form_schema(shown, secret)
    Draft202012Validator.check_schema(schema)
    for row in schema["properties"].values():
        assert row["title"]
        if "default" in row:
            Draft202012Validator(row).validate(row["default"])


def sent(**values: Any) -> Example:
    form = Example(initial={"address": "https://pbx.example", "tagging": "True", "minutes": "7", "tags": ["a"]})
    return Example(posted(form, values, SECRET))


def test_what_was_sent_is_read_by_the_form_and_the_rest_stays():
    form = sent(password="secret", zone="msk", tags=["b"])
    assert form.is_valid(), form.errors
    assert form.cleaned_data == {
        "address": "https://pbx.example",
        "password": "secret",
        "minutes": 7,
        "zone": "msk",
        "tagging": True,
        "tags": ["b"],
    }
    form = sent(password="secret", zone="msk", tagging=False, minutes=None, tags=[])
    assert form.is_valid()
    assert (form.cleaned_data["tagging"], form.cleaned_data["minutes"], form.cleaned_data["tags"]) == (False, None, [])


def test_an_empty_secret_is_to_be_forgotten_and_one_that_is_not_sent_is_not():
    assert FORGET + "password" in sent(password="").data
    assert FORGET + "password" not in sent().data
    assert "password" not in told(Example(initial={"password": "never told"}), SECRET)


def test_what_is_of_another_type_or_unknown_is_named():
    with pytest.raises(Problem) as raised:
        posted(Example(), {"minutes": "7", "tagging": "yes", "nobody": 1, "tags": "a"}, place="keys.")
    assert [(each["field"], each["code"]) for each in raised.value.errors] == [
        ("keys.minutes", "type"),
        ("keys.tagging", "type"),
        ("keys.nobody", "unknown"),
        ("keys.tags", "type"),
    ]
