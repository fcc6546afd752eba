"""Connections to PBXs, what they sent, and the calls that it tells of."""

from __future__ import annotations

import json
import secrets
import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _
from encrypted_model_fields.fields import EncryptedCharField, EncryptedTextField

from clients.models import Client
from employees.models import Company, Employee, User

from .fold import CallState, Source
from .providers import registry
from .providers.base import Direction, Outcome, Provider, RecordingState


def digest(kind: str, value: str) -> str:
    """A keyed digest: finds a row by a secret without keeping the secret readable."""
    return salted_hmac(f"callbridge.{kind}", value, algorithm="sha256").hexdigest()


class Connection(models.Model):
    """A company's PBX account at a provider. `credentials` are the provider's form fields.

    `checked_at`: when a check of them found nothing wrong.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="connections", verbose_name=_("company"))
    provider = models.CharField(_("provider"), max_length=32, editable=False)
    brand = models.CharField(_("PBX"), max_length=32, editable=False)
    name = models.CharField(_("name"), max_length=200)
    active = models.BooleanField(_("active"), default=True)
    secrets = EncryptedTextField(default="{}", editable=False)
    account_digest = models.CharField(max_length=64, blank=True, editable=False, db_index=True)
    clock_shift = models.IntegerField(
        _("clock ahead by, seconds"),
        null=True,
        blank=True,
        help_text=_(
            "How far the PBX's clock is ahead of ours. Recognised at the first live event; empty: not yet known."
        ),
    )
    checked_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("PBX connection")
        verbose_name_plural = _("PBX connections")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["company", "name"], name="one_connection_per_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def protocol(self) -> Provider:
        return registry.get(self.provider)

    @property
    def credentials(self) -> dict[str, str]:
        return json.loads(self.secrets)

    @credentials.setter
    def credentials(self, values: dict[str, Any]) -> None:
        self.secrets = json.dumps({key: "" if value is None else str(value) for key, value in values.items()})
        account = self.protocol.account(self.credentials)
        self.account_digest = digest(f"account.{self.provider}", account) if account else ""

    @property
    def address(self) -> WebhookAddress:
        """The webhook address in force; made at the first question."""
        return self.addresses.filter(retires_at=None).first() or WebhookAddress.issue(self)


class WebhookAddress(models.Model):
    """An unguessable address of a connection. After a rotation the old one goes on working until `retires_at`."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="addresses")
    token = EncryptedCharField(max_length=64)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    retires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["connection"], condition=models.Q(retires_at=None), name="one_current_address_per_connection"
            )
        ]

    def __str__(self) -> str:
        return f"{self.connection} …{self.token[-4:]}"

    @classmethod
    def issue(cls, connection: Connection, token: str = "") -> WebhookAddress:
        token = token or secrets.token_urlsafe(24)
        return cls.objects.create(connection=connection, token=token, digest=digest("webhook", token))

    @property
    def url(self) -> str:
        return f"{settings.PUBLIC_URL}/hooks/{self.connection.provider}/{self.token}/"


class Listening(models.Model):
    """The line to a PBX that must be listened to. Whoever has the lease listens. `up_since` is empty while the line is
    down, and `error` says why; everything that the PBX told was heard until `heard_until`."""

    connection = models.OneToOneField(Connection, models.CASCADE, related_name="listening")
    lease = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    up_since = models.DateTimeField(null=True)
    down_since = models.DateTimeField(null=True)
    heard_until = models.DateTimeField(null=True)
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.connection} {'up' if self.up_since else 'down'}"


class VirtualNumber(models.Model):
    """A public number of the company, with the name of its line. E.164, or the vendor's word for a SIP line. `hours`:
    when somebody takes its calls (`hours`); empty: nobody has said."""

    company = models.ForeignKey(Company, models.CASCADE, related_name="virtual_numbers", editable=False)
    connection = models.ForeignKey(
        Connection, models.CASCADE, related_name="virtual_numbers", verbose_name=_("PBX connection")
    )
    number = models.CharField(_("virtual number"), max_length=128)
    line_name = models.CharField(_("line name"), max_length=200, blank=True)
    hours = models.TextField(_("working hours"), blank=True, default="", db_default="")

    class Meta:
        verbose_name = _("virtual number")
        verbose_name_plural = _("virtual numbers")
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["connection", "number"], name="one_number_per_connection")]

    def __str__(self) -> str:
        return f"{self.number} · {self.line_name}" if self.line_name else self.number

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.company_id = self.connection.company_id
        super().save(*args, **kwargs)


class PbxWish(models.Model):
    """A customer looked for his PBX among the brands and did not find it."""

    company = models.ForeignKey(Company, models.CASCADE, related_name="+", verbose_name=_("company"))
    asked_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("asked by"))
    asked_at = models.DateTimeField(_("asked"), auto_now_add=True)
    name = models.CharField(_("name of the PBX"), max_length=200)
    site = models.CharField(_("its site, or the address of its cabinet"), max_length=300, blank=True)
    words = models.TextField(_("what we should know"), max_length=4000, blank=True)
    done = models.BooleanField(_("done"), default=False, db_default=False)

    class Meta:
        verbose_name = _("wish for a PBX")
        verbose_name_plural = _("wishes for PBXs")

    def __str__(self) -> str:
        return self.name


class InboxEvent(models.Model):
    """A request of a PBX as it came. `folded` events belong to their call; `failed` ones wait for a mend."""

    class State(models.IntegerChoices):
        NEW = 0, _("new")
        FOLDED = 1, _("folded")
        FAILED = 2, _("not understood")

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="events", db_index=False)
    call = models.ForeignKey("Call", models.CASCADE, null=True, related_name="events")
    received_at = models.DateTimeField(_("received"))
    path = models.CharField(max_length=200)
    query = models.TextField(blank=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField()
    remote = models.CharField(max_length=64, blank=True)
    state = models.SmallIntegerField(_("state"), choices=State, default=State.NEW)
    error = models.TextField(_("error"), blank=True)

    # No column: what the PBX said where the time of receipt was taken instead (`events.parse`).
    impossible_time: datetime | None = None

    class Meta:
        verbose_name = _("PBX event")
        verbose_name_plural = _("PBX events")
        indexes = [
            models.Index(fields=["connection", "received_at"], name="inbox_by_connection"),
            models.Index(fields=["connection", "id"], condition=models.Q(state=0), name="inbox_new"),
            models.Index(fields=["connection", "id"], condition=models.Q(state=2), name="inbox_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.path} {self.received_at:%Y-%m-%d %H:%M:%S}"


class Command(models.Model):
    """Something we asked a PBX to do. `wire_id` is the id that the PBX knows it by; `origin` is where a dial came from
    (the CRM's own id of the call, its user, its record).

    One that is only intended was never sent. One that was sent and of which no answer came is never sent again.
    """

    class State(models.TextChoices):
        INTENDED = "intended", _("to be sent")
        SENT = "sent", _("sent")
        ACCEPTED = "accepted", _("accepted")
        REFUSED = "refused", _("refused")
        DOUBT = "doubt", _("no answer: perhaps carried out, perhaps not")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="+")
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="commands")
    call = models.ForeignKey("Call", models.SET_NULL, null=True, related_name="commands_of_call")
    kind = models.CharField(max_length=16)
    wire_id = models.CharField(max_length=128)
    details = models.JSONField(default=dict)
    origin = models.JSONField(default=dict)
    state = models.CharField(max_length=16, choices=State, default=State.SENT)
    error = models.TextField(blank=True)
    requested_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("command")
        verbose_name_plural = _("commands")
        constraints = [models.UniqueConstraint(fields=["connection", "wire_id"], name="one_command_per_wire_id")]

    def __str__(self) -> str:
        return f"{self.kind} {self.created_at:%Y-%m-%d %H:%M:%S}"


DIRECTIONS = [(Direction.IN, _("incoming")), (Direction.OUT, _("outgoing")), (Direction.INTERNAL, _("internal"))]
STATES = [
    (CallState.RINGING, _("ringing")),
    (CallState.ANSWERED, _("conversation")),
    (CallState.HELD, _("on hold")),
    (CallState.TRANSFERRED, _("transferred")),
    (CallState.FINISHED, _("finished")),
]
OUTCOMES = [
    (Outcome.ANSWERED, _("answered")),
    (Outcome.MISSED, _("missed")),
    (Outcome.BUSY, _("busy")),
    (Outcome.NO_ANSWER, _("no answer")),
    (Outcome.CANCELLED, _("cancelled")),
    (Outcome.REJECTED, _("rejected")),
    (Outcome.FAILED, _("failed")),
]


SOURCES = [
    (Source.LIVE, _("told live")),
    (Source.HISTORY, _("filled in from the PBX's history")),
    (Source.IMPORT, _("imported into the journal")),
    (Source.TRIAL, _("test call")),
]


class Call(models.Model):
    """One conversation attempt with one client, over all its legs and transfers: a fold over its events.

    `key` is the vendor's id of the whole call. `version` grows with each change, the last of which was at `changed_at`
    (see `feed`). `utm` is what call tracking said of the visitor. `sealed_at`: since then its events are deleted, so it
    is never folded again. `log_deleted_at`: then requests about it were first deleted.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="calls")
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="calls", verbose_name=_("PBX connection"))
    key = models.CharField(max_length=200)
    version = models.PositiveIntegerField(default=0)
    changed_at = models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)
    source = models.CharField(
        _("source"), max_length=8, choices=SOURCES, default=Source.LIVE, db_default=Source.LIVE.value
    )
    direction = models.CharField(_("direction"), max_length=8, choices=DIRECTIONS)
    state = models.CharField(_("state"), max_length=12, choices=STATES)
    outcome = models.CharField(_("outcome"), max_length=12, choices=OUTCOMES, blank=True)
    client_phone = models.CharField(_("client's number"), max_length=128, blank=True)
    client = models.ForeignKey(
        Client, models.SET_NULL, null=True, blank=True, related_name="calls", verbose_name=_("client")
    )
    virtual_number = models.CharField(_("virtual number"), max_length=128, blank=True)
    extension = models.CharField(_("extension"), max_length=32, blank=True)
    first_extension = models.CharField(max_length=32, blank=True)
    employee = models.ForeignKey(
        Employee, models.SET_NULL, null=True, blank=True, related_name="calls", verbose_name=_("employee")
    )
    dialled_by = models.ForeignKey(Command, models.SET_NULL, null=True, related_name="dialled_calls")
    started_at = models.DateTimeField(_("started"))
    answered_at = models.DateTimeField(_("answered"), null=True)
    ended_at = models.DateTimeField(_("ended"), null=True)
    talk_seconds = models.PositiveIntegerField(_("conversation, s"), default=0)
    wait_seconds = models.PositiveIntegerField(_("waiting, s"), default=0)
    live_leg = models.CharField(max_length=200, blank=True)
    waiting_leg = models.CharField(max_length=200, blank=True)
    legs_ended_at = models.DateTimeField(null=True)
    tracking_number = models.CharField(max_length=32, blank=True)
    utm = models.JSONField(default=dict)
    first_received_at = models.DateTimeField(default=timezone.now)
    sealed_at = models.DateTimeField(null=True)
    log_deleted_at = models.DateTimeField(null=True)

    # No columns: attached to calls that the inbox tells of (`signals.calls_changed`).
    people: list[Participant]
    audio: list[Recording]
    changes: set[str]

    class Meta:
        verbose_name = _("call")
        verbose_name_plural = _("calls")
        constraints = [
            models.UniqueConstraint(fields=["connection", "key"], name="one_call_per_key"),
            models.CheckConstraint(
                condition=~models.Q(state="finished") | ~models.Q(outcome=""), name="finished_call_has_an_outcome"
            ),
        ]
        indexes = [
            models.Index(fields=["company", "-started_at", "-id"], name="call_journal"),
            models.Index(fields=["company", "client_phone", "-started_at"], name="call_by_client"),
            models.Index(fields=["legs_ended_at"], condition=~models.Q(state="finished"), name="call_unfinished"),
            models.Index(fields=["company", "-id"], condition=models.Q(source="trial"), name="call_played"),
            models.Index(
                fields=["company", "-started_at", "-id"],
                condition=models.Q(direction="in", state="finished", answered_at=None),
                name="call_missed",
            ),
            models.Index(fields=["company", "changed_at", "id"], name="call_changed"),
        ]

    def __str__(self) -> str:
        return f"{self.get_direction_display()} {self.client_phone} {self.started_at:%Y-%m-%d %H:%M:%S}"

    @property
    def finished(self) -> bool:
        return self.state == CallState.FINISHED

    @property
    def played(self) -> bool:
        """Whether it is a test call."""
        return self.source == Source.TRIAL


class MissedNote(models.Model):
    """Somebody said that a missed call needs no call back, nor do those of its number before it."""

    call = models.OneToOneField(Call, models.CASCADE, related_name="missed_note")
    by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("closed by"))
    at = models.DateTimeField(_("closed"), default=timezone.now)
    words = models.CharField(_("note"), max_length=500, blank=True)

    class Meta:
        verbose_name = _("missed call closed by hand")
        verbose_name_plural = _("missed calls closed by hand")

    def __str__(self) -> str:
        return self.words


class PlannedCall(models.Model):
    """A number that somebody is to call. It is done by a conversation with it since then (`planner.done`), or by hand.

    `due_at`: not before then; empty: at once. Without an employee it is for whoever comes first. `call` is the
    conversation that did it, once that is written down. Until `taken_until` nobody but `taken_by` is to call it.
    """

    class Origin(models.TextChoices):
        HAND = "hand", _("planned by hand")
        LIST = "list", _("from a list")
        MISSED = "missed", _("after a missed call")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="+", db_index=False)
    phone = models.CharField(_("number"), max_length=32)
    words = models.CharField(_("what about"), max_length=500, blank=True)
    due_at = models.DateTimeField(_("not before"), null=True, blank=True)
    employee = models.ForeignKey(
        Employee, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("for whom")
    )
    origin = models.CharField(_("origin"), max_length=8, choices=Origin, default=Origin.HAND)
    made_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("planned by"))
    made_at = models.DateTimeField(_("planned"), default=timezone.now)
    done_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("closed by"))
    done_at = models.DateTimeField(_("done"), null=True)
    call = models.ForeignKey(Call, models.SET_NULL, null=True, related_name="+", verbose_name=_("call"))
    note = models.CharField(_("note"), max_length=500, blank=True)
    taken_by = models.ForeignKey(
        User, models.SET_NULL, null=True, related_name="+", db_index=False, verbose_name=_("called by")
    )
    taken_until = models.DateTimeField(_("taken until"), null=True)

    class Meta:
        verbose_name = _("planned call")
        verbose_name_plural = _("planned calls")
        indexes = [
            models.Index(fields=["company", "phone"], condition=models.Q(done_at=None), name="planned_open"),
            models.Index(
                fields=["company", "-done_at"], condition=models.Q(done_at__isnull=False), name="planned_done"
            ),
        ]

    def __str__(self) -> str:
        return self.phone

    @property
    def caller(self) -> User | None:
        """Who calls it just now."""
        return self.taken_by if self.taken_until and self.taken_until > timezone.now() else None


class CallGone(models.Model):
    """A call that is not in the journal any more: it was a part of the call `into`, or a test call that was removed."""

    company = models.ForeignKey(Company, models.CASCADE, related_name="+", db_index=False)
    uuid = models.UUIDField(editable=False)
    into = models.UUIDField(null=True)
    changed_at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["company", "changed_at", "id"], name="gone_changed")]

    def __str__(self) -> str:
        return str(self.uuid)


class CallAlias(models.Model):
    """One more vendor's id of a call."""

    call = models.ForeignKey(Call, models.CASCADE, related_name="aliases")
    connection = models.ForeignKey(Connection, models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "key"], name="one_call_per_alias")]


class Participant(models.Model):
    """An employee's share in a call: rang at, answered at, left at. `position` is its place in the call."""

    call = models.ForeignKey(Call, models.CASCADE, related_name="participants")
    position = models.PositiveSmallIntegerField()
    extension = models.CharField(_("extension"), max_length=32)
    employee = models.ForeignKey(Employee, models.SET_NULL, null=True, related_name="+", verbose_name=_("employee"))
    leg = models.CharField(max_length=200)
    state = models.CharField(max_length=8)
    rang_at = models.DateTimeField(_("rang at"), null=True)
    answered_at = models.DateTimeField(_("answered at"), null=True)
    left_at = models.DateTimeField(_("left at"), null=True)
    why = models.CharField(max_length=12, blank=True)

    class Meta:
        verbose_name = _("participant")
        verbose_name_plural = _("participants")
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["call", "position"], name="one_participant_per_position")]


class Recording(models.Model):
    """The audio of a call or of a part of it. `key` is the vendor's id. `revision` revokes links given out before.

    While `due_at` is set it is to be fetched then, a stored one once more. `waits_for_storage`: it could not be stored.
    """

    class State(models.TextChoices):
        ANNOUNCED = RecordingState.ANNOUNCED, _("being made by the PBX")
        READY = RecordingState.READY, _("being fetched")
        ABSENT = RecordingState.ABSENT, _("there is none")
        STORED = "stored", _("stored")
        FAILED = "failed", _("could not be fetched")
        DELETED = "deleted", _("deleted by the company's rule")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, null=True, related_name="+", db_index=False)
    call = models.ForeignKey(Call, models.CASCADE, related_name="recordings")
    key = models.CharField(max_length=300)
    extension = models.CharField(max_length=32, blank=True)
    state = models.CharField(_("state"), max_length=12, choices=State, default=State.ANNOUNCED)
    vendor_url = EncryptedTextField(blank=True, default="")
    file = models.FileField(upload_to="%Y/%m/%d/", blank=True)
    content_type = models.CharField(max_length=64, blank=True)
    size = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True)
    revision = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(null=True)
    lease_until = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(_("error"), blank=True)
    stored_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)
    waits_for_storage = models.BooleanField(default=False, db_default=False)

    class Meta:
        verbose_name = _("recording")
        verbose_name_plural = _("recordings")
        constraints = [models.UniqueConstraint(fields=["call", "key"], name="one_recording_per_key")]
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(due_at__isnull=False), name="recording_to_fetch"),
            models.Index(fields=["company"], condition=models.Q(waits_for_storage=True), name="recording_waits"),
            models.Index(fields=["company", "stored_at"], condition=models.Q(state="stored"), name="recording_stored"),
        ]

    def __str__(self) -> str:
        return f"{self.call} · {self.get_state_display()}"


class LooseFile(models.Model):
    """A file in the storage that no recording names: one that a worker stores until `held_until`, or one to remove."""

    name = models.CharField(max_length=200, primary_key=True)
    held_until = models.DateTimeField(null=True, db_index=True)


class Decision(models.Model):
    """Something that was decided about a call, with its reason: `code` names the reason, `details` fills its words."""

    call = models.ForeignKey(Call, models.CASCADE, related_name="decisions")
    at = models.DateTimeField(default=timezone.now)
    kind = models.CharField(max_length=16)
    code = models.CharField(max_length=40)
    details = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    milliseconds = models.PositiveIntegerField(null=True)

    class Meta:
        verbose_name = _("decision")
        verbose_name_plural = _("decisions")
        ordering = ["at", "id"]


class Exchange(models.Model):
    """A request of ours to a vendor and its answer, masked. `account` is the UUID of the connection or credential."""

    company = models.ForeignKey(Company, models.CASCADE, related_name="+")
    vendor = models.CharField(_("vendor"), max_length=32)
    account = models.UUIDField(_("account"))
    purpose = models.CharField(_("purpose"), max_length=40, blank=True)
    at = models.DateTimeField(_("at"))
    method = models.CharField(max_length=8)
    url = models.TextField()
    request = models.TextField(blank=True)
    status = models.PositiveSmallIntegerField(null=True)
    answer = models.TextField(blank=True)
    milliseconds = models.PositiveIntegerField()
    error = models.TextField(blank=True)
    calls = models.ManyToManyField(Call, related_name="exchanges", through="ExchangeCall")

    class Meta:
        verbose_name = _("exchange with a vendor")
        verbose_name_plural = _("exchanges with vendors")
        indexes = [
            models.Index(fields=["company", "-at"], name="exchange_by_company"),
            models.Index(fields=["account", "-at"], name="exchange_by_account"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.url[:80]}"


class ExchangeCall(models.Model):
    """Which calls an exchange spoke of (a batch speaks of many)."""

    exchange = models.ForeignKey(Exchange, models.CASCADE)
    call = models.ForeignKey(Call, models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["exchange", "call"], name="one_link_per_exchange_and_call")]


class HistoryRun(models.Model):
    """A look into a PBX's own history: what it knows of a period is compared with our calls, the newest day first.

    The calls that began at `reached` or later are compared; the run is done when that is `since`. `into_crm` concerns
    imports alone. `going_on` are the vendor's ids of calls that we lack and that were not over yet. Whoever has the
    lease works.
    """

    class Kind(models.TextChoices):
        WATCHDOG = "watchdog", _("end of silent calls")
        OUTAGE = "outage", _("after an outage")
        SCHEDULED = "scheduled", _("comparison")
        IMPORT = "import", _("import")

    class State(models.TextChoices):
        OPEN = "open", _("under way")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")
        CANCELLED = "cancelled", _("cancelled")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="+", verbose_name=_("company"))
    connection = models.ForeignKey(
        Connection, models.CASCADE, related_name="history_runs", verbose_name=_("PBX connection")
    )
    kind = models.CharField(_("kind"), max_length=12, choices=Kind)
    state = models.CharField(_("state"), max_length=12, choices=State, default=State.OPEN)
    since = models.DateTimeField(_("from"))
    until = models.DateTimeField(_("to"))
    reached = models.DateTimeField()
    into_crm = models.BooleanField(default=True)
    asked_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("asked by"))
    found = models.PositiveIntegerField(_("calls in the PBX"), default=0)
    filled = models.PositiveIntegerField(_("filled in"), default=0)
    corrected = models.PositiveIntegerField(_("corrected"), default=0)
    going_on = models.JSONField(default=list)
    attempts = models.PositiveIntegerField(default=0)
    error = models.TextField(_("error"), blank=True)
    not_before = models.DateTimeField(null=True)
    lease = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(_("created"), default=timezone.now)

    class Meta:
        verbose_name = _("look into the PBX's history")
        verbose_name_plural = _("looks into PBXs' histories")
        indexes = [
            models.Index(fields=["connection", "-created_at"], name="history_by_connection"),
            models.Index(fields=["id"], condition=models.Q(state="open"), name="history_open"),
        ]

    def __str__(self) -> str:
        return f"{self.connection} · {self.get_kind_display()}"

    @property
    def percent(self) -> int:
        """How much of the period is compared."""
        whole = (self.until - self.since).total_seconds()
        return round(100 * (self.until - self.reached).total_seconds() / whole) if whole else 100


class CoverageDay(models.Model):
    """What the PBX's history had of a day (the company's) when it was compared: how many calls, and which of them we
    lacked all the same, with the reason. `until`: calls that began before it were compared."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="coverage")
    day = models.DateField()
    until = models.DateTimeField()
    told = models.PositiveIntegerField()
    missing = models.JSONField(default=list, encoder=DjangoJSONEncoder)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "day"], name="one_coverage_per_day")]


class ConnectionDay(models.Model):
    """How a connection was on a day (the company's): what its PBX told, how often it refused us, how long its line was
    down."""

    connection = models.ForeignKey(Connection, models.CASCADE, related_name="pulse")
    day = models.DateField()
    events = models.PositiveIntegerField(default=0)
    refused = models.PositiveIntegerField(default=0)
    down_minutes = models.PositiveSmallIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "day"], name="one_pulse_per_day")]


class RateState(models.Model):
    """A limiter's numbers for one key, epoch seconds: the theoretical arrival time of the next request, and until when
    the vendor told us to stop."""

    key = models.CharField(max_length=100, primary_key=True)
    arrival = models.FloatField(default=0)
    blocked_until = models.FloatField(default=0)


class Schedule(models.Model):
    """When a repeated task is due next. Whoever moves it on runs it, so no process leads."""

    name = models.CharField(max_length=64, primary_key=True)
    due_at = models.DateTimeField()
