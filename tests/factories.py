"""Rows for tests, one factory for each model. A call comes with the company of its connection."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group
from django.core.files.base import ContentFile
from django.utils import timezone

from clients.models import Client, ClientPhone, Comment, Task
from employees.models import (
    Change,
    Company,
    Employee,
    EmployeePhone,
    Extension,
    Invitation,
    Membership,
    Partner,
    Role,
    User,
)
from integrations.models import (
    CallSync,
    Credential,
    CrmEvent,
    Double,
    EmployeeMapping,
    Export,
    Integration,
    Lane,
    Notice,
    Rule,
    SeenEvent,
    Visit,
    WebhookDelivery,
    WebhookEndpoint,
)
from integrations.payloads import KINDS
from integrations.support_groups import LEAD
from telephony.models import (
    Call,
    CallAlias,
    Command,
    Connection,
    Decision,
    Exchange,
    HistoryRun,
    InboxEvent,
    MissedNote,
    Participant,
    PlannedCall,
    Recording,
    VirtualNumber,
    WebhookAddress,
)

if TYPE_CHECKING:  # to a type checker calling a factory makes a factory and not a row
    factory: Any
    DjangoModelFactory: Any
else:
    import factory
    from factory.django import DjangoModelFactory

PASSWORD = "correct horse battery"


# --- People -----------------------------------------------------------------------------------------------------------


class CompanyFactory(DjangoModelFactory):
    class Meta:
        model = Company

    name = factory.Sequence(lambda n: f"Company {n}")


class PartnerFactory(DjangoModelFactory):
    class Meta:
        model = Partner

    name = factory.Sequence(lambda n: f"Partner {n}")


class UserFactory(DjangoModelFactory):
    class Meta:
        model = User
        skip_postgeneration_save = True

    email = factory.Sequence(lambda n: f"person{n}@example.com")
    password = factory.django.Password(PASSWORD)


def support_lead(**facts: Any) -> User:
    """Somebody of support who may change what is set."""
    user: User = UserFactory(is_staff=True, **facts)
    user.groups.add(Group.objects.get(name=LEAD))
    return user


class MembershipFactory(DjangoModelFactory):
    class Meta:
        model = Membership

    company = factory.SubFactory(CompanyFactory)
    user = factory.SubFactory(UserFactory)
    role = Role.OWNER


class InvitationFactory(DjangoModelFactory):
    """Open. `mailed` and `shown` are the secrets of its links."""

    class Meta:
        model = Invitation

    class Params:
        mailed = factory.Sequence(lambda n: f"mailed-{n}")
        shown = factory.Sequence(lambda n: f"shown-{n}")

    company = factory.SubFactory(CompanyFactory)
    email = factory.Sequence(lambda n: f"guest{n}@example.com")
    role = Role.OPERATOR
    invited_by = factory.LazyAttribute(lambda row: MembershipFactory(company=row.company).user)
    mailed_digest = factory.LazyAttribute(lambda row: hashlib.sha256(row.mailed.encode()).hexdigest())
    shown_digest = factory.LazyAttribute(lambda row: hashlib.sha256(row.shown.encode()).hexdigest())


class ChangeFactory(DjangoModelFactory):
    class Meta:
        model = Change

    company = factory.SubFactory(CompanyFactory)
    actor_name = "somebody@example.com"
    kind = "company"
    action = Change.Action.CHANGED
    subject = factory.LazyAttribute(lambda row: row.company.name)
    key = "1"


class EmployeeFactory(DjangoModelFactory):
    class Meta:
        model = Employee

    company = factory.SubFactory(CompanyFactory)
    name = factory.Sequence(lambda n: f"Employee {n}")


class EmployeePhoneFactory(DjangoModelFactory):
    class Meta:
        model = EmployeePhone

    employee = factory.SubFactory(EmployeeFactory)
    phone = factory.Sequence(lambda n: f"+7916{n:07}")


class ExtensionFactory(DjangoModelFactory):
    """Unknown, or an employee's when one is given."""

    class Meta:
        model = Extension

    company = factory.SubFactory(CompanyFactory)
    number = factory.Sequence(lambda n: str(100 + n))
    handling = factory.LazyAttribute(
        lambda row: Extension.Handling.EMPLOYEE if row.employee else Extension.Handling.UNKNOWN
    )
    employee = None


# --- Clients ----------------------------------------------------------------------------------------------------------


class ClientFactory(DjangoModelFactory):
    class Meta:
        model = Client

    company = factory.SubFactory(CompanyFactory)
    name = factory.Sequence(lambda n: f"Client {n}")
    source = "bitrix24:test"
    entity = factory.Sequence(lambda n: f"CONTACT:{n}")


class ClientPhoneFactory(DjangoModelFactory):
    class Meta:
        model = ClientPhone

    client = factory.SubFactory(ClientFactory)
    company = factory.SelfAttribute("client.company")
    phone = factory.Sequence(lambda n: f"+7495{n:07}")


class CommentFactory(DjangoModelFactory):
    class Meta:
        model = Comment

    company = factory.SubFactory(CompanyFactory)
    client_phone = factory.Sequence(lambda n: f"+7495{n:07}")
    call = factory.Faker("uuid4", cast_to=None)
    text = factory.Sequence(lambda n: f"Comment {n}")


class TaskFactory(DjangoModelFactory):
    class Meta:
        model = Task

    company = factory.SubFactory(CompanyFactory)
    client_phone = factory.Sequence(lambda n: f"+7495{n:07}")
    call = factory.Faker("uuid4", cast_to=None)
    text = factory.Sequence(lambda n: f"Task {n}")
    due_at = factory.LazyFunction(lambda: timezone.now() + timedelta(days=1))


# --- Telephony --------------------------------------------------------------------------------------------------------


class ConnectionFactory(DjangoModelFactory):
    class Meta:
        model = Connection

    company = factory.SubFactory(CompanyFactory)
    provider = brand = "mango"
    name = factory.Sequence(lambda n: f"PBX {n}")
    credentials = factory.LazyAttributeSequence(
        lambda _row, n: {
            "api_url": "https://app.mango-office.ru",
            "api_key": f"key-of-pbx-{n}",
            "api_salt": f"salt-of-pbx-{n}",
            "greeting_seconds": "2.5",
        }
    )


class WebhookAddressFactory(DjangoModelFactory):
    class Meta:
        model = WebhookAddress

    connection = factory.SubFactory(ConnectionFactory)

    @classmethod
    def _create(cls, model_class: type[WebhookAddress], *args: Any, **kwargs: Any) -> WebhookAddress:
        return WebhookAddress.issue(kwargs["connection"], kwargs.get("token", ""))


class VirtualNumberFactory(DjangoModelFactory):
    class Meta:
        model = VirtualNumber

    connection = factory.SubFactory(ConnectionFactory)
    number = factory.Sequence(lambda n: f"+7499{n:07}")


class CallFactory(DjangoModelFactory):
    """An answered incoming call that is over."""

    class Meta:
        model = Call

    connection = factory.SubFactory(ConnectionFactory)
    company = factory.SelfAttribute("connection.company")
    key = factory.Sequence(lambda n: f"call-{n}")
    version = 1
    direction = "in"
    state = "finished"
    outcome = factory.LazyAttribute(lambda row: "answered" if row.state == "finished" else "")
    client_phone = factory.Sequence(lambda n: f"+7926{n:07}")
    virtual_number = "+74951234567"
    extension = "101"
    started_at = factory.LazyFunction(lambda: timezone.now() - timedelta(minutes=5))
    answered_at = factory.LazyAttribute(
        lambda row: row.started_at + timedelta(seconds=5) if row.outcome == "answered" else None
    )
    ended_at = factory.LazyAttribute(
        lambda row: row.started_at + timedelta(seconds=65) if row.state == "finished" else None
    )
    talk_seconds = factory.LazyAttribute(lambda row: 60 if row.outcome == "answered" else 0)
    wait_seconds = 5


class MissedNoteFactory(DjangoModelFactory):
    class Meta:
        model = MissedNote

    call = factory.SubFactory(CallFactory)


class PlannedCallFactory(DjangoModelFactory):
    class Meta:
        model = PlannedCall

    company = factory.SubFactory(CompanyFactory)
    phone = factory.Sequence(lambda n: f"+7926{n:07}")


class CallAliasFactory(DjangoModelFactory):
    class Meta:
        model = CallAlias

    call = factory.SubFactory(CallFactory)
    connection = factory.SelfAttribute("call.connection")
    key = factory.Sequence(lambda n: f"alias-{n}")


class ParticipantFactory(DjangoModelFactory):
    class Meta:
        model = Participant

    call = factory.SubFactory(CallFactory)
    position = factory.Sequence(lambda n: n % 1000)
    extension = "101"
    leg = factory.Sequence(lambda n: f"leg-{n}")
    state = "ended"
    rang_at = factory.SelfAttribute("call.started_at")
    answered_at = factory.SelfAttribute("call.answered_at")
    left_at = factory.SelfAttribute("call.ended_at")


class InboxEventFactory(DjangoModelFactory):
    class Meta:
        model = InboxEvent

    connection = factory.SubFactory(ConnectionFactory)
    received_at = factory.LazyFunction(timezone.now)
    path = "events/call"
    body = factory.LazyFunction(lambda: _mango_body({"entry_id": "1", "call_id": "1", "seq": 1}))
    state = InboxEvent.State.FOLDED


def _mango_body(said: dict[str, Any]) -> bytes:
    from urllib.parse import urlencode

    return urlencode({"vpbx_api_key": "key-of-a-pbx", "sign": "0" * 64, "json": json.dumps(said)}).encode()


class CommandFactory(DjangoModelFactory):
    class Meta:
        model = Command

    connection = factory.SubFactory(ConnectionFactory)
    company = factory.SelfAttribute("connection.company")
    kind = "dial"
    wire_id = factory.Sequence(lambda n: f"command-{n}")


class RecordingFactory(DjangoModelFactory):
    """Stored when `content` is given."""

    class Meta:
        model = Recording
        skip_postgeneration_save = True

    class Params:
        content = None

    call = factory.SubFactory(CallFactory)
    company = factory.SelfAttribute("call.company")
    key = factory.Sequence(lambda n: f"recording-{n}")
    state = factory.LazyAttribute(lambda row: Recording.State.STORED if row.content else Recording.State.ANNOUNCED)
    content_type = "audio/mpeg"
    size = factory.LazyAttribute(lambda row: len(row.content or b""))
    sha256 = factory.LazyAttribute(lambda row: hashlib.sha256(row.content).hexdigest() if row.content else "")
    stored_at = factory.LazyAttribute(lambda row: timezone.now() if row.content else None)
    file = factory.LazyAttribute(lambda row: ContentFile(row.content, "talk.mp3") if row.content else "")


class DecisionFactory(DjangoModelFactory):
    class Meta:
        model = Decision

    call = factory.SubFactory(CallFactory)
    kind = "routing"
    code = "nobody_known"


class HistoryRunFactory(DjangoModelFactory):
    """An import of a day that has just begun."""

    class Meta:
        model = HistoryRun

    connection = factory.SubFactory(ConnectionFactory)
    company = factory.SelfAttribute("connection.company")
    kind = HistoryRun.Kind.IMPORT
    until = factory.LazyFunction(timezone.now)
    since = factory.LazyAttribute(lambda row: row.until - timedelta(days=1))
    reached = factory.SelfAttribute("until")


class ExchangeFactory(DjangoModelFactory):
    """A request about `call`, when one is given."""

    class Meta:
        model = Exchange
        skip_postgeneration_save = True

    company = factory.SubFactory(CompanyFactory)
    vendor = "bitrix24"
    account = factory.Faker("uuid4")
    at = factory.LazyFunction(timezone.now)
    method = "POST"
    url = "https://portal.example/rest/telephony.externalcall.register"
    status = 200
    milliseconds = 30

    @factory.post_generation
    def call(self, create: bool, extracted: Call | None, **_: Any) -> None:
        if create and extracted:
            self.calls.add(extracted)


# --- Integrations -----------------------------------------------------------------------------------------------------


class CredentialFactory(DjangoModelFactory):
    class Meta:
        model = Credential

    company = factory.SubFactory(CompanyFactory)
    crm = "bitrix24"
    name = factory.Sequence(lambda n: f"Portal {n}")
    state = Credential.State.READY
    values = factory.LazyAttributeSequence(
        lambda _row, n: {
            "domain": f"portal{n}.bitrix24.example",
            "client_id": "local.app",
            "client_secret": f"client-secret-{n}",
            "access_token": f"access-token-{n}",
            "refresh_token": f"refresh-token-{n}",
            "application_token": f"application-token-{n}",
            "member_id": f"member{n}",
        }
    )


SETTINGS = {
    "telephony_mode": "ip",
    "forward_to_personal_manager": True,
    "create_entity_incoming": True,
    "default_responsible_incoming": "1",
    "assign_incoming_to": "first",
    "create_entity_outgoing": False,
    "default_responsible_outgoing": "1",
    "use_call_tracking": False,
    "utm_tags": [],
    "post_call_message_to_chat": False,
}


class RuleFactory(DjangoModelFactory):
    class Meta:
        model = Rule

    integration = factory.SubFactory("tests.factories.IntegrationFactory")


class IntegrationFactory(DjangoModelFactory):
    class Meta:
        model = Integration
        skip_postgeneration_save = True

    credential = factory.SubFactory(CredentialFactory)
    company = factory.SelfAttribute("credential.company")
    active = True
    settings = factory.LazyFunction(lambda: dict(SETTINGS))

    @factory.post_generation
    def connections(self, create: bool, extracted: Any, **_: Any) -> None:
        if create and extracted:
            self.connections.set(extracted)


class EmployeeMappingFactory(DjangoModelFactory):
    class Meta:
        model = EmployeeMapping

    integration = factory.SubFactory(IntegrationFactory)
    employee = factory.SubFactory(EmployeeFactory, company=factory.SelfAttribute("..integration.company"))
    crm_user = factory.Sequence(lambda n: str(n + 1))


class CallSyncFactory(DjangoModelFactory):
    """A call that is written."""

    class Meta:
        model = CallSync

    call = factory.SubFactory(CallFactory)
    integration = factory.SubFactory(IntegrationFactory, company=factory.SelfAttribute("..call.company"))
    credential = factory.SelfAttribute("integration.credential")
    state = CallSync.State.WANTED
    wanted = noted = 1


class DoubleFactory(DjangoModelFactory):
    class Meta:
        model = Double

    call = factory.SubFactory(CallFactory)
    integration = factory.SubFactory(IntegrationFactory, company=factory.SelfAttribute("..call.company"))
    listed = factory.Sequence(lambda n: f"other-{n}")
    writer = "Other PBX"


class LaneFactory(DjangoModelFactory):
    class Meta:
        model = Lane

    account = factory.Sequence(lambda n: f"account-{n}")


class CrmEventFactory(DjangoModelFactory):
    class Meta:
        model = CrmEvent

    credential = factory.SubFactory(CredentialFactory)
    body = b"event=ONEXTERNALCALLSTART"


class SeenEventFactory(DjangoModelFactory):
    class Meta:
        model = SeenEvent

    credential = factory.SubFactory(CredentialFactory)
    key = factory.Sequence(lambda n: f"event-{n}")


class ExportFactory(DjangoModelFactory):
    """A file that is written."""

    class Meta:
        model = Export
        skip_postgeneration_save = True

    company = factory.SubFactory(CompanyFactory)
    format = "csv"
    language = "ru"
    state = Export.State.DONE
    file = factory.LazyAttribute(lambda row: ContentFile(f"calls of {row.company}".encode(), "calls.csv"))


class WebhookEndpointFactory(DjangoModelFactory):
    """Switched on; it wants to hear everything."""

    class Meta:
        model = WebhookEndpoint

    class Params:
        secret = "whsec_" + "c2VjcmV0" * 5

    company = factory.SubFactory(CompanyFactory)
    url = factory.Sequence(lambda n: f"https://hooks{n}.example.com/calls")
    host = factory.Sequence(lambda n: f"hooks{n}.example.com")
    kinds = " ".join(KINDS)
    keys = factory.LazyAttribute(lambda row: [(row.secret, None)])


class WebhookDeliveryFactory(DjangoModelFactory):
    """A call that was told of."""

    class Meta:
        model = WebhookDelivery

    endpoint = factory.SubFactory(WebhookEndpointFactory)
    event = factory.Faker("uuid4", cast_to=None)
    kind = "call.finished"
    body = factory.LazyAttribute(lambda row: json.dumps({"type": row.kind, "data": {}}))
    state = WebhookDelivery.State.DELIVERED
    attempts = 1
    status = 204
    tried_at = factory.LazyFunction(timezone.now)


class VisitFactory(DjangoModelFactory):
    """A visit that has just begun and only looks."""

    class Meta:
        model = Visit

    membership = factory.SubFactory(MembershipFactory)
    company = factory.SelfAttribute("membership.company")
    member_email = factory.SelfAttribute("membership.user.email")
    by = factory.SubFactory(UserFactory, is_staff=True)
    by_email = factory.SelfAttribute("by.email")
    reason = "request 4711"
    until = factory.LazyFunction(lambda: timezone.now() + timedelta(minutes=30))


class NoticeFactory(DjangoModelFactory):
    class Meta:
        model = Notice

    company = factory.SubFactory(CompanyFactory)
    cause = factory.Sequence(lambda n: f"storage:{n}")
    text = "The storage is full."
    link = "/calls/"
