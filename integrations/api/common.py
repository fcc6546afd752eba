"""What several of these resources need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from drf_spectacular.helpers import forced_singular_serializer
from rest_framework import serializers

from employees.api import problems
from employees.api.problems import Problem, invalid
from employees.models import Company
from integrations import accounts
from integrations.models import Credential
from outbound.errors import OutboundError
from telephony.models import VirtualNumber


@contextmanager
def speaking_to(row: Credential) -> Iterator[None]:
    """What a CRM answers to us is told as a problem, with what can be done about it."""
    try:
        yield
    except OutboundError as error:
        raise Problem("vendor_unreachable", accounts.explained(row, error), wait=error.retry_after) from error


def valid(*checked: tuple[forms.BaseForm, str]) -> None:
    """Raises one `Problem` with all that these forms say. Each comes with the place of its fields, as `settings.`."""
    errors = [each for form, place in checked if form.errors for each in problems.of_form(form, place).errors]
    if errors:
        raise Problem("invalid", errors=errors)


def lines(company: Company, numbers: Iterable[str], **among: Any) -> list[VirtualNumber]:
    """Virtual numbers by their spelling (E.164). Raises a `Problem` where there is no such one."""
    numbers = list(numbers)
    rows = list(VirtualNumber.objects.filter(company=company, number__in=numbers, **among).distinct())
    known = {row.number for row in rows}
    for place, number in enumerate(numbers):
        if number not in known:
            raise invalid(f"numbers.{place}", _("There is no such virtual number."), "not_found")
    return rows


def one(serializer: type[serializers.Serializer]) -> Any:
    """For the reference: this list is not one of rows, but one answer."""
    return forced_singular_serializer(serializer)  # type: ignore[no-untyped-call]
