"""The portal's page of the client book: whom each number belongs to, as the CRMs said."""

from __future__ import annotations

from datetime import timedelta

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from employees import phones
from employees.rights import Right
from employees.sites import company_of, portal

from . import book

PAGE = 50
LEAST_DIGITS = 5
"""So many digits in what was typed, and it was meant as a number."""
OLD = timedelta(days=30)
"""What a CRM said so long ago may not be so any more."""


@portal.page("clients/", name="clients", right=Right.MANAGE)
def clients(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()
    rows = book.search(company_of(request), text).order_by("-seen_at", "-pk")
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    numbers = {item.phone for row in page for item in row.phones.all()}
    context = {
        "title": _("Client book"),
        "page": page,
        "q": text,
        "comments": book.last_comments(company_of(request), numbers),
        "tasks": book.open_tasks(company_of(request), numbers),
        "asks_number": sum(map(str.isdecimal, text)) >= LEAST_DIGITS,
        "seen_as": phones.spellings(text, company_of(request).region),
        "old": timezone.now() - OLD,
    }
    return portal.render(request, "portal/clients.html", context)


portal.in_menu("clients", gettext_lazy("Client book"), "contacts", group="", order=6)

# They register their pages.
from . import task_pages  # noqa: E402, F401
