"""Accounts in CRMs, what a customer wants written into them, and the state of each call in each."""

from __future__ import annotations

import json
import secrets
import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy
from encrypted_model_fields.fields import EncryptedCharField, EncryptedTextField

from crm_adapters import registry
from crm_adapters.base import Adapter, Request
from employees import installation
from employees.models import Company, Employee, Membership, User
from telephony import spreadsheets
from telephony.models import Call, Command, Connection, VirtualNumber, digest


class Credential(models.Model):
    """A named, encrypted set of secrets for one account of a CRM («учётные данные»). `stored_at`: when the CRM gave or
    took secrets last. `calls_read_until`: up to then it was looked who else writes our calls (`radar`)."""

    class State(models.TextChoices):
        NEW = "new", _("not connected yet")
        READY = "ready", _("connected")
        REFUSED = "refused", _("the CRM refuses the keys")
        DISCONNECTED = "disconnected", _("removed in the CRM")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="credentials", verbose_name=_("company"))
    crm = models.CharField(_("CRM"), max_length=32, editable=False)
    name = models.CharField(_("name"), max_length=200, blank=True, help_text=_("To tell accounts apart in lists."))
    domain = models.CharField(_("address"), max_length=255, blank=True, editable=False)
    state = models.CharField(_("state"), max_length=16, choices=State, default=State.NEW, editable=False)
    state_words = models.TextField(blank=True, editable=False)
    secrets = EncryptedTextField(default="{}", editable=False)
    account_digest = models.CharField(max_length=64, blank=True, editable=False, db_index=True)
    webhook_token = EncryptedCharField(max_length=64, editable=False)
    webhook_digest = models.CharField(max_length=64, unique=True, editable=False)
    refresh_lease = models.DateTimeField(null=True, editable=False)
    stored_at = models.DateTimeField(null=True, editable=False)
    calls_read_until = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("CRM credential")
        verbose_name_plural = _("CRM credentials")
        ordering = ["name", "domain"]

    def __str__(self) -> str:
        return self.name or self.domain or self.adapter.title

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self.webhook_token:
            self.webhook_token = secrets.token_urlsafe(24)
        self.webhook_digest = digest("crm-webhook", self.webhook_token)
        super().save(*args, **kwargs)
        if not kwargs.get("update_fields"):  # a renewed token is no change of configuration
            installation.changed()

    @property
    def adapter(self) -> Adapter:
        return registry.get(self.crm)

    @property
    def values(self) -> dict[str, str]:
        """What the form asked for and what the CRM gave us."""
        return json.loads(self.secrets)

    @values.setter
    def values(self, values: dict[str, Any]) -> None:
        self.secrets = json.dumps({key: "" if value is None else str(value) for key, value in values.items()})
        account = self.adapter.account(self.values)
        self.account_digest = digest(f"account.{self.crm}", account) if account else ""
        self.domain = self.adapter.shown_as(self.values)[:255]

    @property
    def account(self) -> str:
        """What the CRM account is called here: two credentials of one account have the same name."""
        return self.account_digest or f"credential-{self.pk}"

    @property
    def secret_values(self) -> list[str]:
        names = self.adapter.secret_fields
        return [value for name, value in self.values.items() if name in names and value]

    @property
    def handler_url(self) -> str:
        """Where the CRM sends its events for this credential."""
        return f"{settings.PUBLIC_URL}/hooks/{self.crm}/{self.webhook_token}/"

    @property
    def source(self) -> str:
        """The name of this account in the client book."""
        return f"{self.crm}:{self.uuid}"


class Integration(models.Model):
    """PBX connections × one CRM account × settings; off until switched on. `settings` are the adapter's form fields."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="integrations", verbose_name=_("company"))
    name = models.CharField(_("name"), max_length=200, blank=True)
    credential = models.ForeignKey(Credential, models.RESTRICT, related_name="integrations", verbose_name=_("account"))
    connections = models.ManyToManyField(Connection, related_name="integrations", verbose_name=_("PBX connections"))
    active = models.BooleanField(_("integration is active"), default=False)
    filter_numbers = models.BooleanField(_("filter by virtual numbers"), default=False)
    numbers = models.ManyToManyField(
        VirtualNumber, blank=True, related_name="integrations", verbose_name=_("list of virtual numbers")
    )
    settings = models.JSONField(default=dict)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name = _("integration")
        verbose_name_plural = _("integrations")
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name or f"{self.credential.adapter.title} · {self.credential}"


class Rule(models.Model):
    """Settings that are different for some kinds of calls. Of the rules that fit a call the first in order holds.

    While a call goes on nobody knows its outcome: rules that name one fit only after its end.
    """

    class Direction(models.TextChoices):
        ANY = "", pgettext_lazy("calls", "any")
        IN = "in", pgettext_lazy("calls", "incoming")
        OUT = "out", pgettext_lazy("calls", "outgoing")

    class Outcome(models.TextChoices):
        ANY = "", pgettext_lazy("calls", "any")
        ANSWERED = "answered", pgettext_lazy("calls", "answered")
        UNANSWERED = "unanswered", pgettext_lazy("calls", "not answered")

    class Client(models.TextChoices):
        ANY = "", pgettext_lazy("client", "any")
        KNOWN = "known", pgettext_lazy("client", "known to the CRM")
        UNKNOWN = "unknown", pgettext_lazy("client", "not known to the CRM")

    class Hours(models.TextChoices):
        ANY = "", pgettext_lazy("time", "any")
        WORKING = "working", _("within working hours")
        OFF = "off", _("outside working hours")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    integration = models.ForeignKey(Integration, models.CASCADE, related_name="rules")
    place = models.PositiveSmallIntegerField(_("order"), default=0)
    direction = models.CharField(_("direction"), max_length=3, choices=Direction, blank=True)
    outcome = models.CharField(_("outcome"), max_length=10, choices=Outcome, blank=True)
    client = models.CharField(
        _("client"),
        max_length=7,
        choices=Client,
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "As the call begins. The CRM is asked once for each call then, which costs it a request more; a hidden "
            "number fits neither."
        ),
    )
    hours = models.CharField(
        _("time"),
        max_length=7,
        choices=Hours,
        blank=True,
        default="",
        db_default="",
        help_text=_(
            "When the call begins, by the hours that stand beside the line's name at the PBX connection. A line "
            "without hours fits neither."
        ),
    )
    numbers = models.ManyToManyField(
        VirtualNumber,
        blank=True,
        related_name="+",
        verbose_name=_("virtual numbers"),
        help_text=_("None chosen: calls by any number."),
    )
    settings = models.JSONField(default=dict)

    class Meta:
        verbose_name = _("rule")
        verbose_name_plural = _("rules")
        ordering = ["place", "id"]

    def __str__(self) -> str:
        return f"{self.get_direction_display()}, {self.get_outcome_display()}, {self.get_client_display()}"


class EmployeeMapping(models.Model):
    """Which user of the CRM an employee is («сопоставление сотрудников»)."""

    integration = models.ForeignKey(Integration, models.CASCADE, related_name="mapping")
    employee = models.ForeignKey(Employee, models.CASCADE, related_name="mappings", verbose_name=_("employee"))
    crm_user = models.CharField(_("user in the CRM"), max_length=64)
    crm_user_name = models.CharField(max_length=200, blank=True)
    use_for_personal_manager = models.BooleanField(
        _("use to find the personal manager"),
        default=True,
        help_text=_("Whether calls may be forwarded to this employee as the client's personal manager."),
    )

    class Meta:
        verbose_name = _("employee mapping")
        verbose_name_plural = _("employee mapping")
        ordering = ["employee__name"]
        constraints = [models.UniqueConstraint(fields=["integration", "employee"], name="one_mapping_per_employee")]

    def __str__(self) -> str:
        return f"{self.employee} → {self.crm_user_name or self.crm_user}"


class CallSync(models.Model):
    """The state of one call in one CRM account: the outbox.

    There is work while `wanted` (the version of the call to be reflected) is above `noted` (the version that is). The
    planner writes what is wanted, the worker what was done; neither touches the other's columns. `intent` names the
    step whose request is under way; an intent whose lease ran out is a request of unknown fate. `progress` is the
    adapter's own notes (the CRM's ids). `error_kind` stands while the last try failed, at `failed_at`; errors of one
    `cause` are alike.

    `part`: what was told as a call of its own, and written, turned out to be a part of `call`; this is what had been
    told of it (`facts.frozen`), and what it left in the CRM is closed.
    """

    class State(models.TextChoices):
        WANTED = "wanted", _("to be written")
        SKIPPED = "skipped", _("not written")
        WAITING = "waiting", _("waits for a decision")

    call = models.ForeignKey(Call, models.CASCADE, related_name="syncs")
    credential = models.ForeignKey(Credential, models.RESTRICT, related_name="syncs")
    integration = models.ForeignKey(Integration, models.RESTRICT, related_name="syncs", verbose_name=_("integration"))

    # The planner's
    state = models.CharField(_("state"), max_length=8, choices=State)
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    details = models.JSONField(default=dict)
    part = models.JSONField(null=True)
    wanted = models.PositiveIntegerField(default=0)
    priority = models.PositiveSmallIntegerField(default=9)
    due_at = models.DateTimeField(null=True)

    # The worker's
    noted = models.PositiveIntegerField(default=0)
    progress = models.JSONField(default=dict)
    intent = models.CharField(max_length=40, blank=True)
    lease = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    not_before = models.DateTimeField(null=True)
    attempts = models.PositiveIntegerField(default=0)
    parked = models.BooleanField(_("parked"), default=False)
    error_kind = models.CharField(_("kind of error"), max_length=20, blank=True)
    error = models.TextField(_("error"), blank=True)
    cause = models.CharField(max_length=200, blank=True, default="", db_default="", editable=False)
    failed_at = models.DateTimeField(_("last failed"), null=True)
    history = models.JSONField(default=list)

    class Meta:
        verbose_name = _("call in a CRM")
        verbose_name_plural = _("calls in CRMs")
        constraints = [
            models.UniqueConstraint(
                fields=["call", "credential"],
                condition=Q(part__isnull=True),
                name="one_sync_per_whole_call_and_account",
            )
        ]
        indexes = [
            models.Index(
                fields=["credential", "priority", "due_at"],
                condition=Q(state="wanted", parked=False, wanted__gt=F("noted")),
                name="sync_work",
            ),
            models.Index(fields=["integration", "reason"], condition=~Q(state="wanted"), name="sync_reasons"),
            models.Index(fields=["credential"], condition=Q(parked=True), name="sync_parked"),
            models.Index(
                fields=["credential", "parked", "error_kind", "cause", "failed_at"],
                condition=Q(state="wanted") & ~Q(error_kind=""),
                name="sync_troubles",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.call} → {self.credential}"

    @property
    def error_code(self) -> str:
        """The CRM's code of the error, where it has one."""
        return self.cause.partition(" ")[0]


class Double(models.Model):
    """A call that we have written and that stands in the CRM a second time: `listed` is the CRM's id of the other one,
    `writer` who seems to have written it, in the CRM's words."""

    integration = models.ForeignKey(Integration, models.CASCADE, related_name="doubles")
    call = models.ForeignKey(Call, models.CASCADE, related_name="doubles")
    listed = models.CharField(max_length=200)
    writer = models.CharField(max_length=200, blank=True)
    found_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        verbose_name = _("call that stands in a CRM twice")
        verbose_name_plural = _("calls that stand in CRMs twice")
        constraints = [models.UniqueConstraint(fields=["integration", "listed"], name="one_double_per_listed_call")]

    def __str__(self) -> str:
        return f"{self.call} · {self.writer}"


class Lane(models.Model):
    """One batch in flight for a CRM account: who has it, until when, and whether the account is paused.

    Accounts are named by their digest, so that two credentials of one account share a lane.
    """

    account = models.CharField(max_length=100, primary_key=True)
    lease = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    open_at = models.DateTimeField(null=True)
    failures = models.PositiveIntegerField(default=0)


class CrmEvent(models.Model):
    """A request of a CRM as it came. Kept before it is understood, like those of PBXs.

    A new one is taken up when `not_before` has come, `attempts` times so far. `outcome` is a code whose words are
    filled from `details`; `command` is what it made us ask of the PBX.
    """

    class State(models.IntegerChoices):
        NEW = 0, _("new")
        HANDLED = 1, _("handled")
        FAILED = 2, _("not understood")
        GIVEN_UP = 3, _("given up")

    credential = models.ForeignKey(Credential, models.CASCADE, related_name="events", db_index=False)
    received_at = models.DateTimeField(_("received"), auto_now_add=True)
    method = models.CharField(max_length=8, default="POST", db_default="POST")
    path = models.CharField(max_length=200, blank=True)
    query = models.TextField(blank=True)
    headers = models.JSONField(default=dict)
    body = models.BinaryField()
    state = models.SmallIntegerField(_("state"), choices=State, default=State.NEW)
    error = models.TextField(_("error"), blank=True)
    outcome = models.TextField(_("what came of it"), blank=True)
    details = models.JSONField(null=True)
    command = models.ForeignKey(Command, models.SET_NULL, null=True, related_name="+")
    attempts = models.PositiveIntegerField(_("tries"), default=0, db_default=0)
    not_before = models.DateTimeField(_("next try"), null=True)

    class Meta:
        verbose_name = _("CRM event")
        verbose_name_plural = _("CRM events")
        indexes = [
            models.Index(fields=["id"], condition=Q(state=0), name="crm_event_new"),
            models.Index(fields=["credential", "-received_at"], name="crm_event_by_account"),
            models.Index(fields=["credential", "id"], condition=Q(state__gte=2), name="crm_event_failed"),
        ]

    @property
    def wire(self) -> Request:
        """The request as the adapter reads it."""
        return Request(self.method, self.path, bytes(self.body), self.query, self.headers)


class SeenEvent(models.Model):
    """Keys of CRM events that were handled: a repetition does nothing."""

    credential = models.ForeignKey(Credential, models.CASCADE, related_name="+")
    key = models.CharField(max_length=200)
    at = models.DateTimeField(auto_now_add=True, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["credential", "key"], name="one_handling_per_event")]

    @classmethod
    def first(cls, credential: Credential, key: str) -> bool:
        """Note a key; false when it was noted before. What has no key is never a repetition."""
        return not key or cls.objects.get_or_create(credential=credential, key=key[:200])[1]


class CardWrite(models.Model):
    """What somebody wants written into a CRM from the card of a call. It is sent once: what was sent and never answered
    is in doubt, and he is told to look.

    `token` came with the form, so one form is one write. `values` are the fields (of a task: its text), `before` what
    the person saw of those that he changes. `entity` is the record as the client book names it. `link` leads to what
    was written, `error_kind`, `code` and `words` say why nothing was.
    """

    class Kind(models.TextChoices):
        CREATE = "create", _("new client in the CRM")
        SAVE = "save", _("client's data in the CRM")
        TASK = "task", _("task in the CRM")

    class State(models.TextChoices):
        INTENDED = "intended", _("about to be written")
        SENT = "sent", _("being written")
        DONE = "done", pgettext_lazy("written into a CRM", "written")
        REFUSED = "refused", pgettext_lazy("written into a CRM", "not written")
        DOUBT = "doubt", pgettext_lazy("written into a CRM", "in doubt")

    token = models.UUIDField(unique=True)
    company = models.ForeignKey(Company, models.CASCADE, related_name="+", verbose_name=_("company"))
    integration = models.ForeignKey(Integration, models.CASCADE, related_name="+", verbose_name=_("integration"))
    call = models.ForeignKey(Call, models.SET_NULL, null=True, related_name="+", verbose_name=_("call"))
    client_phone = models.CharField(_("client's number"), max_length=32)
    entity = models.CharField(_("record in the CRM"), max_length=64, blank=True)
    kind = models.CharField(_("what"), max_length=8, choices=Kind)
    values = models.JSONField(default=dict)
    before = models.JSONField(default=dict)
    due_at = models.DateTimeField(_("until when"), null=True)
    responsible = models.CharField(_("user in the CRM"), max_length=64, blank=True)
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("author"))
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.INTENDED)
    error_kind = models.CharField(_("kind of error"), max_length=20, blank=True)
    code = models.CharField(max_length=100, blank=True)
    words = models.TextField(_("error"), blank=True)
    link = models.CharField(_("link"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("asked"), default=timezone.now)
    sent_at = models.DateTimeField(_("sent"), null=True)

    class Meta:
        verbose_name = _("write from a call card")
        verbose_name_plural = _("writes from call cards")
        indexes = [
            models.Index(fields=["integration", "client_phone", "-created_at"], name="card_write_by_client"),
            models.Index(fields=["id"], condition=Q(state__in=["intended", "sent"]), name="card_write_open"),
            models.Index(fields=["created_at"], name="card_write_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}, {self.integration.credential}: {self.client_phone}"

    @property
    def open(self) -> bool:
        return self.state in (self.State.INTENDED, self.State.SENT)


class Export(models.Model):
    """The journal as a file that somebody asked for: `filter` is what was on his screen, `columns` what he chose.

    `numbers_hidden`: clients' numbers are, as they are from whoever asked. `rows` of `total` are written. Whoever has
    the lease writes; a worker that died is followed by one who begins anew.
    """

    class State(models.TextChoices):
        OPEN = "open", _("being written")
        DONE = "done", _("done")
        FAILED = "failed", _("failed")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="exports", verbose_name=_("company"))
    asked_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("asked by"))
    filter = models.JSONField(default=dict)
    columns = models.JSONField(default=list)
    format = models.CharField(_("format"), max_length=4, choices=spreadsheets.FORMATS)
    language = models.CharField(max_length=5)
    numbers_hidden = models.BooleanField(default=False, db_default=False)
    state = models.CharField(_("state"), max_length=8, choices=State, default=State.OPEN)
    rows = models.PositiveIntegerField(_("rows"), default=0)
    total = models.PositiveIntegerField(null=True)
    file = models.FileField(blank=True)
    size = models.PositiveBigIntegerField(default=0)
    error = models.TextField(_("error"), blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    lease = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField(_("asked"), default=timezone.now)
    finished_at = models.DateTimeField(_("finished"), null=True)

    class Meta:
        verbose_name = _("export")
        verbose_name_plural = _("exports")
        indexes = [
            models.Index(fields=["company", "-id"], name="export_by_company"),
            models.Index(fields=["id"], condition=models.Q(state="open"), name="export_open"),
        ]

    def __str__(self) -> str:
        return f"{self.created_at:%Y-%m-%d %H:%M:%S} · {self.get_format_display()}"

    @property
    def percent(self) -> int:
        return min(100, 100 * self.rows // self.total) if self.total else 0

    @property
    def cut(self) -> bool:
        """Whether the format had no room for all of them."""
        return bool(self.total and self.format == "xlsx" and self.total > spreadsheets.MOST_ROWS)

    @property
    def name(self) -> str:
        """What the file is called on the reader's disk."""
        return f"calls-{self.created_at:%Y-%m-%d-%H%M}.{self.format}"


# --- Webhooks ---------------------------------------------------------------------------------------------------------


class WebhookEndpoint(models.Model):
    """An address of somebody's own programme, which is told what happens (Standard Webhooks).

    `kinds` are the types of events that it wants, with spaces between; without `connections` it wants those of all.
    `secrets` are what its messages are signed with: the newest first, each with the moment at which it ends. It fails
    since `failing_since`, the time of the first message that it did not take after the last one that it took.

    One worker at a time sends to it, whoever has the lease; after failures nobody does before `open_at`.
    `resend_total`: how many messages somebody asked to be sent once more, at `resent_at`.
    """

    class Off(models.TextChoices):
        FAILING = "failing", _("it took nothing for days")
        GONE = "gone", _("it answered that it is gone for good (410)")

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="webhooks", verbose_name=_("company"))
    name = models.CharField(_("name"), max_length=200, blank=True)
    url = EncryptedTextField(_("address"), editable=False)
    host = models.CharField(_("host"), max_length=255, editable=False)
    kinds = models.TextField(_("events"), blank=True)
    connections = models.ManyToManyField(Connection, blank=True, related_name="+", verbose_name=_("PBX connections"))
    secrets = EncryptedTextField(default="[]", editable=False)
    active = models.BooleanField(_("active"), default=True)
    off_at = models.DateTimeField(_("switched off"), null=True, editable=False)
    off_reason = models.CharField(_("why"), max_length=8, choices=Off, blank=True, editable=False)
    deleted_at = models.DateTimeField(_("deleted"), null=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    # The lane
    lease = models.UUIDField(null=True, editable=False)
    lease_until = models.DateTimeField(null=True, editable=False)
    open_at = models.DateTimeField(null=True, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)
    failing_since = models.DateTimeField(_("fails since"), null=True, editable=False)
    delivered_at = models.DateTimeField(_("last delivered"), null=True, editable=False)
    resent_at = models.DateTimeField(null=True, editable=False)
    resend_total = models.PositiveIntegerField(default=0, editable=False)

    class Meta:
        verbose_name = _("webhook")
        verbose_name_plural = _("webhooks")
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name or self.host

    @property
    def keys(self) -> list[tuple[str, datetime | None]]:
        """Secrets that sign now, the newest first, each with the moment at which it ends."""
        rows = [(text, datetime.fromisoformat(until) if until else None) for text, until in json.loads(self.secrets)]
        return [(text, until) for text, until in rows if until is None or until > timezone.now()]

    @keys.setter
    def keys(self, keys: list[tuple[str, datetime | None]]) -> None:
        self.secrets = json.dumps([(text, until.isoformat() if until else None) for text, until in keys])


class WebhookDelivery(models.Model):
    """An event for an endpoint: the outbox of webhooks. `body` is sent as it stands, each time the same.

    `event` is its id, the same for all endpoints and at each try: who gets it twice knows it by that. It waits for
    `due_at`; what somebody asked to be sent once more stands `behind` what is new. `history` has its tries.
    """

    class State(models.TextChoices):
        WAITING = "waiting", _("on its way")
        DELIVERED = "delivered", _("delivered")
        FAILED = "failed", _("given up")

    endpoint = models.ForeignKey(WebhookEndpoint, models.CASCADE, related_name="deliveries", db_index=False)
    event = models.UUIDField()
    kind = models.CharField(_("event"), max_length=32)
    body = models.TextField(_("body"))
    created_at = models.DateTimeField(_("happened"), default=timezone.now)
    state = models.CharField(_("state"), max_length=9, choices=State, default=State.WAITING)
    behind = models.BooleanField(default=False)
    due_at = models.DateTimeField(_("next try"), null=True)
    attempts = models.PositiveSmallIntegerField(_("tries"), default=0)
    tried_at = models.DateTimeField(_("last tried"), null=True)
    status = models.PositiveSmallIntegerField(_("answer"), null=True)
    answer = models.TextField(_("what it answered"), blank=True)
    error = models.TextField(_("error"), blank=True)
    history = models.JSONField(default=list)

    class Meta:
        verbose_name = _("delivery of a webhook")
        verbose_name_plural = _("deliveries of webhooks")
        constraints = [models.UniqueConstraint(fields=["endpoint", "event"], name="one_delivery_per_event")]
        indexes = [
            models.Index(fields=["endpoint", "-id"], name="delivery_log"),
            models.Index(
                fields=["endpoint", "behind", "due_at"], condition=Q(state="waiting"), name="delivery_waiting"
            ),
            models.Index(fields=["endpoint", "-id"], condition=Q(state="failed"), name="delivery_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.created_at:%Y-%m-%d %H:%M:%S}"

    @property
    def message_id(self) -> str:
        return f"evt_{self.event.hex}"


# --- The support desk -------------------------------------------------------------------------------------------------


class Replay(models.Model):
    """Events that failed alike, tried again after a mend: those of `vendor` whose error is `cause`, up to `until`.

    `batch` are those that are under way, `reached` is the last one that was judged; whoever has the lease works.
    """

    class Kind(models.TextChoices):
        PBX = "pbx", _("events of PBXs")
        CRM = "crm", _("events of CRMs")

    kind = models.CharField(max_length=3, choices=Kind)
    vendor = models.CharField(max_length=32)
    cause = models.TextField()
    until = models.BigIntegerField()
    reached = models.BigIntegerField(default=0)
    batch = models.JSONField(default=list)
    total = models.PositiveIntegerField()
    done = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    asked_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)
    lease = models.UUIDField(null=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        indexes = [models.Index(fields=["id"], condition=Q(finished_at=None), name="replay_open")]

    @property
    def understood(self) -> int:
        return self.done - self.failed


class Visit(models.Model):
    """Support looks at a company's portal with the rights of one of its members, for a while and for a reason.

    Nothing is changed before `writes_since`. What is said of people stays when they are gone.
    """

    company = models.ForeignKey(Company, models.CASCADE, related_name="visits", verbose_name=_("company"))
    membership = models.ForeignKey(Membership, models.SET_NULL, null=True, related_name="+")
    member_email = models.EmailField(_("as"))
    by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+")
    by_email = models.EmailField(_("who"))
    address = models.CharField(_("from where"), max_length=64, blank=True)
    reason = models.TextField(_("why"), max_length=500)
    listens = models.BooleanField(_("may listen to recordings"), default=False)
    writes_since = models.DateTimeField(_("may change things since"), null=True)
    write_reason = models.TextField(_("why it must be changed"), max_length=500, blank=True)
    began_at = models.DateTimeField(_("began"), default=timezone.now)
    until = models.DateTimeField(_("until"))
    ended_at = models.DateTimeField(_("ended"), null=True)

    class Meta:
        verbose_name = _("visit of support")
        verbose_name_plural = _("visits of support")
        permissions = [("write_on_visit", "Can change things while visiting a customer")]
        indexes = [models.Index(fields=["company", "-began_at"], name="visit_by_company")]

    def __str__(self) -> str:
        return f"{self.by_email} → {self.member_email}"

    @property
    def over_at(self) -> datetime:
        return self.ended_at or self.until


class VisitChange(models.Model):
    """Something that support did on a visit where it may change things."""

    visit = models.ForeignKey(Visit, models.CASCADE, related_name="changes")
    at = models.DateTimeField(_("at"), default=timezone.now)
    path = models.CharField(_("page"), max_length=300)
    status = models.PositiveSmallIntegerField(_("answer"))

    class Meta:
        verbose_name = _("change on a visit")
        verbose_name_plural = _("changes on visits")
        ordering = ["at"]


class Renewal(models.Model):
    """A link with which somebody without an account here gives a credential new keys, once. It dies when it is used,
    revoked, old, or tried too often."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    credential = models.ForeignKey(Credential, models.CASCADE, related_name="renewals")
    made_by = models.EmailField()
    made_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    tries = models.PositiveSmallIntegerField(default=0)
    used_at = models.DateTimeField(null=True)
    used_from = models.CharField(max_length=64, blank=True)
    revoked_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.credential} {self.made_at:%Y-%m-%d %H:%M}"


class Notice(models.Model):
    """A trouble that managers are told of once, and once more when it is over (`mended`: because it works again).

    `text` is in the company's language. Whoever has the lease is about to tell it.
    """

    company = models.ForeignKey(Company, models.CASCADE, related_name="notices", verbose_name=_("company"))
    cause = models.CharField(_("cause"), max_length=300)
    text = models.TextField(_("text"))
    link = models.CharField(max_length=300)
    opened_at = models.DateTimeField(_("opened"), default=timezone.now)
    told_at = models.DateTimeField(_("told"), null=True)
    closed_at = models.DateTimeField(_("closed"), null=True)
    mended = models.BooleanField(_("works again"), default=False)
    end_told_at = models.DateTimeField(_("end told"), null=True)
    lease_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name = _("notice")
        verbose_name_plural = _("notices")
        constraints = [
            models.UniqueConstraint(
                fields=["company", "cause"], condition=Q(closed_at=None), name="one_open_notice_per_cause"
            )
        ]
        indexes = [
            models.Index(fields=["company", "-opened_at"], name="notice_by_company"),
            models.Index(fields=["company"], condition=Q(mended=True, end_told_at=None), name="notice_end_untold"),
        ]

    def __str__(self) -> str:
        return self.text


class NoticeChoice(models.Model):
    """How a member wants notices; without a row in every way that there is."""

    membership = models.OneToOneField(Membership, models.CASCADE, related_name="notice_choice")
    by_email = models.BooleanField(_("send me notices by e-mail"), default=True)
    by_telegram = models.BooleanField(_("send me notices by Telegram"), default=True, db_default=True)


class Chat(models.Model):
    """A person's chat with our bot. `chat` is Telegram's number of it, while it is linked; until `code_until` the
    person may link one. `worked_at`: when it took a message last; `error`: why it did not take the last one."""

    user = models.OneToOneField(User, models.CASCADE, related_name="chat")
    chat = models.BigIntegerField(null=True)
    name = models.CharField(max_length=200, blank=True)
    code_until = models.DateTimeField(null=True)
    linked_at = models.DateTimeField(null=True)
    worked_at = models.DateTimeField(null=True)
    lost_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)

    def __str__(self) -> str:
        return self.name or str(self.user)


class ChatMessage(models.Model):
    """What a member is still to be told in his chat; deleted when it is told. It is not sent before `due_at`."""

    membership = models.ForeignKey(Membership, models.CASCADE, related_name="chat_messages")
    text = models.TextField()
    made_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now, db_index=True)
    tries = models.PositiveSmallIntegerField(default=0)

    def __str__(self) -> str:
        return self.text
