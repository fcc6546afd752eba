"""The portal's pages of people: employees, members, the company itself."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.db import transaction
from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from . import change_pages, key_pages, member_pages, phones  # noqa: F401  (they register their pages)
from .company_forms import CompanyForm
from .employee_forms import EmployeeForm, give_extensions
from .forms import back
from .middleware import SESSION_KEY
from .models import KEPT, NUMBER_STYLES, Company, Employee, Extension
from .rights import Right
from .sites import PortalRequest, company_of, mine, my, portal

PEOPLE = gettext_lazy("People")


# --- Employees --------------------------------------------------------------------------------------------------------


@portal.page("employees/", name="employees", right=Right.MANAGE)
def employees(request: HttpRequest) -> HttpResponse:
    rows = (
        mine(request, Employee)
        .select_related("user")
        .prefetch_related(Prefetch("extensions", Extension.objects.order_by("number")), "phones")
    )
    return portal.render(request, "portal/employees.html", {"title": _("Employees"), "rows": rows})


@portal.page("employees/new/", name="employee_new", right=Right.MANAGE)
def employee_new(request: HttpRequest) -> HttpResponse:
    return _employee_form(request, Employee(company=company_of(request)))


@portal.page("employees/<uuid:uuid>/", name="employee", right=Right.MANAGE)
def employee(request: HttpRequest, uuid: UUID) -> HttpResponse:
    return _employee_form(request, my(request, Employee, uuid=uuid))


def _employee_form(request: HttpRequest, row: Employee) -> HttpResponse:
    form = EmployeeForm(company_of(request), request.POST or None, instance=row)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, _("Saved."))
        return back(request, reverse("portal:employees"))
    title = row.name if row.pk else _("New employee")
    return portal.render(request, "portal/employee.html", {"title": title, "form": form, "employee": row})


@portal.page("employees/<uuid:uuid>/delete/", name="employee_delete", right=Right.MANAGE, posts=True)
def employee_delete(request: HttpRequest, uuid: UUID) -> HttpResponse:
    row = my(request, Employee, uuid=uuid)
    with transaction.atomic():
        give_extensions(row, [])
        row.delete()
    messages.success(request, _("%(name)s was removed. The calls remain.") % {"name": row.name})
    return redirect("portal:employees")


# --- The company ------------------------------------------------------------------------------------------------------


@portal.page("company/", name="company", right=Right.MANAGE)
def company(request: HttpRequest) -> HttpResponse:
    return _edit_company(request, CompanyForm, "company", _("Company settings"), _("Saved."))


def _edit_company(
    request: HttpRequest, form_class: type[forms.ModelForm], page: str, title: str, said: str
) -> HttpResponse:
    """A page of the company's settings, in the template of its name. `said`: when they are saved."""
    form = form_class(request.POST or None, instance=Company.objects.get(pk=company_of(request).pk))
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, said)
        return redirect(f"portal:{page}")
    return portal.render(request, f"portal/{page}.html", {"title": title, "form": form})


class KeepingForm(forms.ModelForm):
    class Meta:
        model = Company
        fields = [f"{what}_kept_days" for what in KEPT]
        help_texts = {
            "recordings_kept_days": gettext_lazy(
                "From the day a recording was stored. Then its audio is deleted: it cannot be listened to here any "
                "more, and links to it stop opening. A copy that a CRM or the PBX has stays there."
            ),
            "events_kept_days": gettext_lazy(
                "Notifications as they came, with numbers and names in them. The calls made of them stay in the "
                "journal, and no longer change."
            ),
            "exchanges_kept_days": gettext_lazy(
                "Requests to the PBX and the CRM with their answers, as shown in a call's passport. What was written "
                "into the CRM, and when, stays there."
            ),
            "changes_kept_days": gettext_lazy("Who changed which setting, who signed in, and who was not let in."),
            "comments_kept_days": gettext_lazy(
                "From the day a comment was written. It goes from the passport and from the client book."
            ),
            "planned_kept_days": gettext_lazy(
                "From the day a planned call was done. Those that are still to be made stay, and so do the calls."
            ),
        }


@portal.page("keeping/", name="keeping", right=Right.MANAGE)
def keeping(request: HttpRequest) -> HttpResponse:
    """How long what is kept."""
    said = _("Saved. What is older is deleted within some hours.")
    return _edit_company(request, KeepingForm, "keeping", _("How long data is kept"), said)


class MasksForm(forms.ModelForm):
    class Meta:
        model = Company
        fields = ["number_style", "hidden_from_operators", "hidden_from_read_only"]

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        region = self.instance.region
        choices = [(style, f"{phones.sample(style, region)} · {label}") for style, label in NUMBER_STYLES]
        self.fields["number_style"].choices = choices  # type: ignore[attr-defined]
        self.secret_sample = phones.sample(self.instance.number_style, region, secret=True)


@portal.page("masks/", name="masks", right=Right.MANAGE)
def masks(request: HttpRequest) -> HttpResponse:
    """How numbers are shown, and from whom clients' numbers are hidden."""
    return _edit_company(request, MasksForm, "masks", _("How numbers are shown"), _("Saved."))


@portal.page("companies/", name="companies", right=Right.READ)
def companies(request: PortalRequest) -> HttpResponse:
    """Choose which company to look at, for those who belong to several."""
    if request.method == "POST":
        chosen = next(
            (row for row in request.memberships if str(row.company.uuid) == request.POST.get("company")), None
        )
        if chosen:
            request.session[SESSION_KEY] = chosen.company_id
            return redirect("portal:index")
    context = {"title": _("Companies"), "rows": request.memberships, "sign_up": settings.SIGN_UP}
    return portal.render(request, "portal/companies.html", context)


portal.in_menu(
    "employees", gettext_lazy("Employees"), "badge", group=PEOPLE, order=50, inside=("employee", "employee_new")
)
portal.in_menu(
    "members", gettext_lazy("Members"), "manage_accounts", group=PEOPLE, order=52, inside=("member_invited",)
)
portal.in_menu("company", gettext_lazy("Company settings"), "apartment", group=PEOPLE, order=53)
portal.in_menu("keeping", gettext_lazy("How long data is kept"), "auto_delete", group=PEOPLE, order=54)
portal.in_menu("masks", gettext_lazy("How numbers are shown"), "password", group=PEOPLE, order=55)
portal.in_menu("keys", gettext_lazy("API keys"), "key", group=PEOPLE, order=57, inside=("key",))
portal.in_menu("changes", gettext_lazy("Changes"), "history", group=PEOPLE, order=56)
