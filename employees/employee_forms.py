"""The form of an employee, with his extensions and phones as lists."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import phones
from .models import Company, Employee, EmployeePhone, Extension, User


class EmployeeForm(forms.ModelForm):
    extensions = forms.CharField(
        label=gettext_lazy("Extensions"),
        required=False,
        help_text=gettext_lazy("Short numbers in the PBX, separated by commas."),
    )
    phone_list = forms.CharField(
        label=gettext_lazy("Own phones"),
        required=False,
        help_text=gettext_lazy(
            "Calls with these numbers are private: they are written into no CRM. Separated by commas."
        ),
    )

    class Meta:
        model = Employee
        fields = ["name", "email", "user"]
        labels = {"name": gettext_lazy("Full name")}

    field_order = ["name", "email", "extensions", "phone_list", "user"]

    def __init__(self, company: Company, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._company = company
        self.fields["user"].queryset = User.objects.filter(memberships__company=company)  # type: ignore[attr-defined]
        if self.instance.pk:
            numbers = self.instance.extensions.values_list("number", flat=True)
            own = self.instance.phones.values_list("phone", flat=True)
            self.initial["extensions"] = ", ".join(numbers)
            self.initial["phone_list"] = ", ".join(phones.pretty(phone) for phone in own)

    def clean_extensions(self) -> list[str]:
        numbers = _listed(self.cleaned_data["extensions"])
        taken = Extension.objects.filter(company=self._company, number__in=numbers, employee__isnull=False)
        for row in taken.exclude(employee=self.instance.pk).select_related("employee"):
            words = _("%(number)s belongs to %(employee)s.") % {"number": row.number, "employee": row.employee}
            self.add_error("extensions", words)
        if any(len(number) > 32 for number in numbers):
            self.add_error("extensions", _("An extension has at most 32 characters."))
        return numbers

    def clean_phone_list(self) -> list[str]:
        numbers = [phones.required(text, self._company.region) for text in _listed(self.cleaned_data["phone_list"])]
        taken = EmployeePhone.objects.filter(company=self._company, phone__in=numbers)
        for row in taken.exclude(employee=self.instance.pk).select_related("employee"):
            words = _("%(number)s belongs to %(employee)s.") % {"number": row.phone, "employee": row.employee}
            self.add_error("phone_list", words)
        return numbers

    @transaction.atomic
    def save(self, commit: bool = True) -> Employee:
        self.instance.company = self._company
        employee: Employee = super().save()
        give_extensions(employee, self.cleaned_data["extensions"])
        wanted = set(self.cleaned_data["phone_list"])
        for row in employee.phones.exclude(phone__in=wanted):
            row.delete()
        for phone in sorted(wanted - set(employee.phones.values_list("phone", flat=True))):
            EmployeePhone.objects.create(employee=employee, phone=phone)
        return employee


def _listed(text: str) -> list[str]:
    return list(dict.fromkeys(part.strip() for part in text.replace(";", ",").split(",") if part.strip()))


def give_extensions(employee: Employee, numbers: list[str]) -> None:
    """These and no others are his; one that is taken away waits for a decision again."""
    for row in employee.extensions.exclude(number__in=numbers):
        row.employee, row.handling = None, Extension.Handling.UNKNOWN
        row.save()
    for number in numbers:
        Extension.objects.update_or_create(
            company=employee.company,
            number=number,
            defaults={"employee": employee, "handling": Extension.Handling.EMPLOYEE},
        )
