"""Values as CRMs write them: tolerant types for what comes over the wire, addresses that customers type, choices.

Nothing here fails: what cannot be read is empty.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, TypeVar

from django import forms
from django.core.validators import RegexValidator
from pydantic import BaseModel, BeforeValidator, ConfigDict

_HOST = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+", re.IGNORECASE)


# --- What comes over the wire -----------------------------------------------------------------------------------------


def text(value: Any) -> str:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def _number(value: Any) -> int:
    """Whole numbers, also as strings; anything else is 0."""
    try:
        return int(str(value).strip())
    except ValueError:
        return 0


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _rows(value: Any) -> list[dict[str, Any]]:
    each = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [row for row in each if isinstance(row, dict)]


Text = Annotated[str, BeforeValidator(text)]
Number = Annotated[int, BeforeValidator(_number)]
Mapping = Annotated[dict[str, Any], BeforeValidator(mapping)]
Rows = Annotated[list[dict[str, Any]], BeforeValidator(_rows)]


class Wire(BaseModel):
    """Unknown fields are ignored, absent ones are empty."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


M = TypeVar("M", bound=Wire)


def parse(model: type[M], value: Any) -> M:
    """`value` as `model`; what is no JSON object is an empty one."""
    return model.model_validate(mapping(value))


def rows(model: type[M], value: Any) -> list[M]:
    """A JSON list (or a PHP array that became an object) of `model`."""
    return [parse(model, row) for row in _rows(value)]


# --- What customers type and choose -----------------------------------------------------------------------------------


def is_host(host: str) -> bool:
    """Whether `host` is a full host name or an address. Where it leads is judged at the socket."""
    if host == "localhost" or (_HOST.fullmatch(host) and not host.rpartition(".")[2].isdigit()):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def listed(
    source: str,
    label: Any,
    help_text: Any,
    validator: RegexValidator,
    *,
    required: bool = True,
    longest: int = 20,
) -> forms.CharField:
    """A setting that names something of the CRM's by its id, of the list `source`; the house fills in the choices."""
    widget = forms.Select(attrs={"data-source": source})
    return forms.CharField(
        label=label, help_text=help_text, required=required, widget=widget, validators=[validator], max_length=longest
    )
