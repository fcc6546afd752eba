"""The portal's pages of phones in browsers: an employee's SIP account, and what his own page gets of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpResponse, JsonResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache

from employees.forms import back, hide
from employees.models import Employee
from employees.rights import Right
from employees.sites import PortalRequest, company_of, mine, my, portal

from . import browser_phones
from .models import BrowserPhone, Connection


class PhoneForm(forms.ModelForm):
    """The SIP account of one employee's phone: on one of his extensions, at a PBX that takes browsers."""

    extension = forms.ChoiceField(
        label=gettext_lazy("Extension"),
        help_text=gettext_lazy("Which of the employee's extensions is the phone in the browser."),
    )

    class Meta:
        model = BrowserPhone
        fields = ["connection", "extension", "login", "password"]
        help_texts = {
            "login": gettext_lazy("Only where the PBX signs the phone in by another name than the extension.")
        }

    def __init__(self, connections: list[Connection], *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        chosen = self.fields["connection"]
        chosen.queryset = Connection.objects.filter(pk__in=[row.pk for row in connections])  # type: ignore[attr-defined]
        chosen.empty_label = None  # type: ignore[attr-defined]
        numbers = self.instance.employee.extensions.order_by("number").values_list("number", flat=True)
        self.fields["extension"].choices = [(number, number) for number in numbers]  # type: ignore[attr-defined]
        hide(self.fields["password"], stored=bool(self.instance.pk))
        self.fields["password"].required = not self.instance.pk

    def clean_password(self) -> str:
        """Left empty, the stored one is kept."""
        return self.cleaned_data["password"] or self.instance.password


@portal.page("phone/", name="phone", right=Right.WORK)
def phone(request: PortalRequest) -> HttpResponse:
    """The person's own."""
    own = mine(request, Employee).filter(user=request.user).order_by("name", "pk").first()
    return _edit(request, own, reverse("portal:card"))


@portal.page("employees/<uuid:uuid>/phone/", name="employee_phone", right=Right.MANAGE)
def employee_phone(request: PortalRequest, uuid: UUID) -> HttpResponse:
    return _edit(request, my(request, Employee, uuid=uuid), reverse("portal:employee", args=[uuid]))


def _edit(request: PortalRequest, employee: Employee | None, there: str) -> HttpResponse:
    row = BrowserPhone.objects.filter(employee=employee).first() or BrowserPhone(employee=employee)
    connections = list(mine(request, Connection))
    able = browser_phones.able(connections)
    form = PhoneForm(able, request.POST or None, instance=row) if employee and able else None
    if form and request.method == "POST" and "remove" in request.POST:
        if row.pk:
            row.delete()
        messages.success(request, _("The phone in the browser was removed."))
        return back(request, there)
    if form and request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Saved. The phone is switched on in the call card."))
        return back(request, there)
    context = {
        "title": _("Phone in the browser"),
        "employee": employee,
        "form": form,
        "row": row,
        "unable": [each for each in connections if each.active],
        "there": there,
    }
    return portal.render(request, "portal/phone.html", context)


@portal.page("phone/account/", name="phone_account", right=Right.WORK, posts=True)
@never_cache
def phone_account(request: PortalRequest) -> HttpResponse:
    """What the person's own phone registers with; nobody else gets it."""
    own = browser_phones.of_person(company_of(request), request.user)
    return JsonResponse(asdict(browser_phones.account(own)) if own else {})


@portal.page("phone/asked/", name="phone_asked", right=Right.WORK, posts=True)
def phone_asked(request: PortalRequest) -> HttpResponse:
    """Whether the call that rings at the person's phone answers a click of his: `{"asked": true}`."""
    own = browser_phones.of_person(company_of(request), request.user)
    number = request.POST.get("number", "")[:64]
    return JsonResponse({"asked": bool(own and number and browser_phones.asked_for(own, number))})
