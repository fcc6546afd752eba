"""The support desk's own pages: customers by health, one customer, and the search over all of them."""

from __future__ import annotations

from uuid import UUID

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from employees.models import Company
from employees.sites import support
from telephony.coverage import zone_of

from . import customers, search, troubles, visits
from .customers import Customer
from .models import Credential

PAGE = 50


@support.page("", name="index", title=gettext_lazy("Customers"), icon="monitor_heart", order=1)
def customer_list(request: HttpRequest) -> HttpResponse:
    """All customers, the worst first."""
    name = request.GET.get("q", "")
    page = Paginator(customers.worst_first(Company.objects.all(), name), PAGE).get_page(request.GET.get("page"))
    customers.attach_pulse(list(page))
    context = {"title": _("Customers"), "page": page, "name": name}
    return support.render(request, "portal/desk/customers.html", context)


@support.page("customers/<uuid:uuid>/", name="customer")
def customer(request: HttpRequest, uuid: UUID) -> HttpResponse:
    """One customer: what needs somebody there, what it has, who its people are."""
    company = get_object_or_404(Company, uuid=uuid)
    row = Customer(company, troubles.of(company))
    customers.attach_pulse([row])
    customers.attach_history(row)
    context = {
        "title": company.name,
        "customer": row,
        "accounts": Credential.objects.filter(company=company),
        "visits": visits.shown(company),
        "members": company.memberships.select_related("user").order_by("user__email"),
    }
    with timezone.override(zone_of(company)):
        return support.render(request, "portal/desk/customer.html", context)


@support.page("find/", name="find", title=gettext_lazy("Search"), icon="search", order=2)
def find(request: HttpRequest) -> HttpResponse:
    """A number, an id or a name, over all companies."""
    asked = request.GET.get("q", "").strip()
    context = {"title": _("Search"), "asked": asked, "found": search.search(asked) if asked else None}
    return support.render(request, "portal/desk/find.html", context)
