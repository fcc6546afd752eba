"""Phones in browsers: whose they are, what they register with, and which of their calls were asked for by a click."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from django.db.models import QuerySet
from django.http import HttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy

from employees import phones
from employees.models import Company, User
from employees.sites import PortalRequest, company_of

from .models import BrowserPhone, Command, Connection
from .providers.base import Capability

COOKIE = "callbridge_phone"
"""Set by the page while the phone of this browser is switched on."""
HASTE = timedelta(seconds=60)
"""For so long a call that the PBX makes for a click may take to ring here."""
TROUBLES = {
    "insecure": gettext_lazy("Browsers allow the microphone on secure pages only: open the page by https://."),
    "denied": gettext_lazy(
        "The browser does not let this page use the microphone. Allow it behind the icon at the left of the address, "
        "then switch the phone on again."
    ),
    "microphone": gettext_lazy(
        "No microphone works here. Connect one (or close the program that holds it), then switch the phone on again."
    ),
    "password": gettext_lazy("The PBX refuses the SIP user or its password."),
    "unknown": gettext_lazy(
        "The PBX knows no such extension, or does not let it register. Ask the PBX's administrator."
    ),
    "refused": gettext_lazy(
        "The PBX did not let the phone register. It is tried again by itself; if this stays, ask the PBX's "
        "administrator."
    ),
    "unreachable": gettext_lazy(
        "The PBX cannot be reached from this browser. It is tried again by itself; if this stays, its address for "
        "phones in browsers, its certificate or a firewall is wrong."
    ),
    "account": gettext_lazy("The SIP account did not come. Reload the page."),
}
"""What keeps a phone from working, by the codes of `phone.js`."""


@dataclass(frozen=True, slots=True)
class Account:
    """What a phone registers with: for its owner alone."""

    address: str
    domain: str
    extension: str
    login: str
    password: str


def able(connections: Iterable[Connection]) -> list[Connection]:
    """Those of the active connections whose PBX takes phones in browsers."""
    rows = [row for row in connections if row.active]
    return [row for row in rows if Capability.BROWSER_PHONE in row.protocol.able(row.credentials)]


def of_employees(employees: Iterable[int]) -> QuerySet[BrowserPhone]:
    rows = BrowserPhone.objects.filter(employee__in=employees, connection__active=True)
    return rows.select_related("connection", "company").order_by("employee__name", "employee")


def of_person(company: Company, user: User) -> BrowserPhone | None:
    """The phone of somebody who is signed in, where his PBX takes it."""
    own = of_employees(user.employees.filter(company=company).values_list("pk", flat=True))
    return next((row for row in own if able([row.connection])), None)


def of_this_browser(request: PortalRequest) -> BrowserPhone | None:
    """The person's phone, where it is switched on in the browser that asks."""
    return of_person(company_of(request), request.user) if request.COOKIES.get(COOKIE) == "on" else None


def account(phone: BrowserPhone) -> Account:
    connection = phone.connection
    door = connection.protocol.sip_door(connection.credentials)
    return Account(door.address, door.domain, phone.extension, phone.login or phone.extension, phone.password)


def allow(response: HttpResponse, connections: Iterable[Connection], *more: str) -> None:
    """Let the page speak to us and to these PBXs, and to nobody else; `more` are further rules."""
    doors = [urlsplit(row.protocol.sip_door(row.credentials).address) for row in connections]
    there = sorted({f"{door.scheme}://{door.netloc}" for door in doors})
    response["Content-Security-Policy"] = "; ".join((" ".join(("connect-src 'self'", *there)), *more))


def asked_for(phone: BrowserPhone, number: str) -> bool:
    """Whether a call with `number` that rings at this phone is the PBX's answer to a click: then it need not ring."""
    client = phones.normalise(number, phone.company.region)
    lately = Command.objects.filter(connection=phone.connection, created_at__gt=timezone.now() - HASTE, kind="dial")
    sent = lately.filter(state__in=(Command.State.SENT, Command.State.ACCEPTED, Command.State.DOUBT))
    asked = [row.details for row in sent.order_by("-id")[:20]]
    return any(row.get("extension") == phone.extension and row.get("phone") == client for row in asked)
