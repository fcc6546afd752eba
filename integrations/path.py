"""The guided path: what a company does until its first call lands in the CRM. Each step is read off what is there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from crm_adapters.base import Capability as CrmCapability
from employees.models import Company, Employee, Extension
from telephony.events import OURS
from telephony.models import Connection, InboxEvent, VirtualNumber
from telephony.providers.base import Capability

from .models import CallSync, Credential, EmployeeMapping, Integration


@dataclass
class Step:
    """A step: what is there, or what is missing, in words; and the page that does it. With `fields` its button sends
    them there. `name`: for programs."""

    name: str
    title: str
    done: bool
    words: str
    page: str
    button: str
    arguments: tuple[Any, ...] = ()
    fields: dict[str, str] | None = None
    current: bool = False

    @property
    def link(self) -> str:
        return reverse(f"portal:{self.page}", args=self.arguments)


@dataclass
class Path:
    steps: list[Step] = field(default_factory=list)

    @property
    def done(self) -> int:
        return sum(step.done for step in self.steps)

    @property
    def current(self) -> Step | None:
        return next((step for step in self.steps if step.current), None)


def landed(company: Company) -> bool:
    """Whether a call of the company, a test call perhaps, was ever written into a CRM. Asked on every page."""
    return CallSync.objects.filter(integration__company=company, noted__gt=0).exists()


def of(company: Company) -> Path:
    connection = Connection.objects.filter(company=company).order_by("-active", "id").first()
    account = Credential.objects.filter(company=company).order_by("id").first()
    integration = Integration.objects.filter(company=company).select_related("credential").order_by("-active").first()
    account = integration.credential if integration else account
    found = Path([*_pbx(company, connection), *_crm(account), *_integration(company, account, integration)])
    found.steps.append(_trial(company))
    first = next((step for step in found.steps if not step.done), None)
    if first:
        first.current = True
    return found


# --- The PBX ----------------------------------------------------------------------------------------------------------


def _pbx(company: Company, row: Connection | None) -> list[Step]:
    if row is None:
        words = _("Find it by its name and enter its keys.")
        chosen = Step("pbx", _("Connect your PBX"), False, words, "connection_catalogue", _("Choose your PBX"))
    else:
        chosen = Step("pbx", _("Connect your PBX"), True, row.name, "connection", _("Open"), (row.uuid,))
    return [chosen, _checked(row), _people(company, row), *_numbers(company, row)]


def _checked(row: Connection | None) -> Step:
    title, button = _("See that the PBX answers"), _("Check the connection")
    if row is None:
        return Step("check", title, False, _("As soon as it is connected."), "connections", button)
    told = InboxEvent.objects.filter(connection=row).exclude(path__startswith=OURS).exists()
    if row.checked_at:
        words = "" if told else _("It answers, but has told of no call yet: enter our address in it.")
    else:
        words = _("Enter our address in the PBX and press “Check the connection”: of each thing it says what to mend.")
    return Step("check", title, row.checked_at is not None or told, words, "connection", button, (row.uuid,))


def _people(company: Company, row: Connection | None) -> Step:
    title = _("Say whose the extensions are")
    extensions = Extension.objects.filter(company=company)
    known = extensions.filter(employee__isnull=False).count()
    if known:
        words = ngettext("%(count)d extension has its employee.", "%(count)d extensions have their employees.", known)
        unknown = ", ".join(extensions.filter(handling=Extension.Handling.UNKNOWN).values_list("number", flat=True)[:5])
        more = " " + _("Not decided: %(numbers)s.") % {"numbers": unknown} if unknown else ""
        return Step("people", title, True, words % {"count": known} + more, "extensions", _("Extensions"))
    if row and Capability.USERS in row.protocol.able(row.credentials):
        words = _("The PBX lists its users; you confirm who is who.")
        button = _("Load the PBX's users")
        return Step("people", title, False, words, "connection_users_load", button, (row.uuid,), fields={})
    words = _("Enter your employees with their extensions.")
    return Step("people", title, False, words, "employee_new", _("New employee"))


def _numbers(company: Company, row: Connection | None) -> list[Step]:
    """A PBX that does not list its numbers has no such step."""
    if row is None or Capability.NUMBERS not in row.protocol.able(row.credentials):
        return []
    title, count = _("Take over your numbers"), VirtualNumber.objects.filter(company=company).count()
    if count:
        words = ngettext("%(count)d number is known.", "%(count)d numbers are known.", count) % {"count": count}
        return [Step("numbers", title, True, words, "connection_numbers", _("Numbers"), (row.uuid,))]
    words = _("The PBX lists your numbers with the names of their lines.")
    return [
        Step("numbers", title, False, words, "connection_numbers_load", _("Load the numbers"), (row.uuid,), fields={})
    ]


# --- The CRM ----------------------------------------------------------------------------------------------------------


def _crm(row: Credential | None) -> list[Step]:
    chosen, connected = _("Choose your CRM and enter its keys"), _("Connect the CRM")
    if row is None:
        words = _("Which CRM shall the calls stand in?")
        first = Step("crm", chosen, False, words, "credentials", _("Choose your CRM"))
        return [
            first,
            Step("crm_connected", connected, False, _("As soon as its keys are entered."), "credentials", _("Connect")),
        ]
    state = str(row.get_state_display())
    first = Step("crm", chosen, True, f"{row.adapter.title} · {row}", "credential", _("Open"), (row.uuid,))
    return [
        first,
        Step("crm_connected", connected, _is_connected(row), state, "credential", _("Connect and check"), (row.uuid,)),
    ]


def _is_connected(row: Credential) -> bool:
    """A CRM that is only set up with its integration is connected then: until that its keys are enough."""
    if row.state == Credential.State.NEW and row.adapter.prepares:
        return CrmCapability.OAUTH not in row.adapter.capabilities and row.adapter.connected(row.values)
    return row.state == Credential.State.READY


def _integration(company: Company, account: Credential | None, row: Integration | None) -> list[Step]:
    mapping, on = _("Say who is who in the CRM"), _("Choose the settings and switch the integration on")
    if account is None:
        words = _("As soon as the CRM is connected.")
        later = (("mapping", mapping), ("integration", on))
        return [Step(name, title, False, words, "integrations", _("Integrations")) for name, title in later]
    if row is None:
        fields = {"account": str(account.uuid)}
        words = _("The users of the CRM are proposed for your employees; you confirm them.")
        steps = [Step("mapping", mapping, False, words, "integration_new", _("Propose"), (account.crm,), fields)]
        words = _("How calls are written, and in whose name.")
        return [*steps, Step("integration", on, False, words, "integration_new", _("Settings"), (account.crm,), fields)]
    words = str(row) if row.active else _("“%(name)s” is switched off: nothing is written.") % {"name": row}
    active = Step("integration", on, row.active, words, "integration", _("Settings"), (row.uuid,))
    return [*_mapping(company, row, mapping), active]


def _mapping(company: Company, row: Integration, title: str) -> list[Step]:
    """A CRM that does not tell its users needs no mapping."""
    if CrmCapability.USERS not in row.credential.adapter.capabilities:
        return []
    known = EmployeeMapping.objects.filter(integration=row).count()
    people = Employee.objects.filter(company=company).count()
    words = _("%(known)d of %(people)d employees have their user in the CRM.") % {"known": known, "people": people}
    return [Step("mapping", title, known > 0, words, "integration", _("Confirm"), (row.uuid,))]


# --- The test call ----------------------------------------------------------------------------------------------------


def _trial(company: Company) -> Step:
    done = landed(company)
    words = _("A call has landed.") if done else _("See in the CRM what a call becomes, before a client calls.")
    return Step("test_call", _("Make a test call"), done, words, "trial", _("Test call"))
