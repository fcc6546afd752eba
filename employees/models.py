"""The company (tenant), who may sign in to it, and its employees."""

from __future__ import annotations

import uuid
import zoneinfo
from datetime import timedelta
from typing import Any

import phonenumbers
from django.contrib.auth.models import AbstractUser, BaseUserManager
from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from encrypted_model_fields.fields import EncryptedCharField, EncryptedTextField

from . import colours, frames, phones


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> User:
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    """Somebody who signs in by e-mail: a customer's person, or (`is_staff`) our support."""

    username = None  # type: ignore[assignment]
    email = models.EmailField(_("e-mail"), unique=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []

    objects = UserManager()  # type: ignore[misc,assignment]

    class Meta:
        verbose_name = _("user")
        verbose_name_plural = _("users")

    def __str__(self) -> str:
        return self.email


def valid_time_zone(name: str) -> None:
    if name not in zoneinfo.available_timezones():
        raise ValidationError(_("%(name)s is not a time zone. Write it as in Europe/Moscow."), params={"name": name})


def valid_region(code: str) -> None:
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValidationError(_("%(code)s is not a country. Write two letters, as in RU."), params={"code": code})


KEPT_DAYS = [
    (30, _("1 month")),
    (90, _("3 months")),
    (180, _("6 months")),
    (365, _("1 year")),
    (730, _("2 years")),
    (1095, _("3 years")),
]
"""How long a company may have something kept. Shorter would hardly be longer than a vendor repeats itself."""


KEPT = ("recordings", "events", "exchanges", "changes", "comments", "planned")
"""What a company has deleted after a while: the fields of `Company` end in `_kept_days`."""
NUMBER_STYLES = [
    (phones.Style.INTERNATIONAL, _("international")),
    (phones.Style.DIGITS, _("digits only")),
    (phones.Style.NATIONAL, _("national, others international")),
]


class Partner(models.Model):
    """Somebody who has customers of his own here: an operator, an integrator of CRMs. He sees their companies alone."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    name = models.CharField(
        _("name"), max_length=200, help_text=_("His customers read it above the guided path in his own pages.")
    )
    colour = models.CharField(
        _("colour"),
        max_length=7,
        default=colours.OURS,
        db_default=colours.OURS,
        validators=[colours.readable],
        help_text=_("Of buttons and the bar on top, as in #2563eb; white letters stand on it."),
    )
    origins = models.TextField(
        _("addresses of his pages"),
        blank=True,
        default="",
        db_default="",
        validators=[frames.valid_origins],
        help_text=_("Which may show the guided path within them, one in a line, as in https://cabinet.example.com."),
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("partner")
        verbose_name_plural = _("partners")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def origin_list(self) -> list[str]:
        return self.origins.split()


class Company(models.Model):
    """The tenant: everything that a customer has belongs to one. `…_kept_days`: what is older is deleted."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    partner = models.ForeignKey(
        Partner,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="companies",
        verbose_name=_("partner"),
        help_text=_("Whose customer this is; empty: our own."),
    )
    name = models.CharField(_("name"), max_length=200)
    time_zone = models.CharField(_("time zone"), max_length=64, default="Europe/Moscow", validators=[valid_time_zone])
    region = models.CharField(
        _("country of national numbers"),
        max_length=2,
        default="RU",
        validators=[valid_region],
        help_text=_("A number without a country code is read as one of this country."),
    )
    language = models.CharField(
        _("language"), max_length=5, default="ru", choices=[("ru", _("Russian")), ("en", _("English"))]
    )
    recordings_kept_days = models.PositiveSmallIntegerField(
        _("recordings"), null=True, blank=True, choices=[(None, _("for ever")), *KEPT_DAYS]
    )
    events_kept_days = models.PositiveSmallIntegerField(
        _("what PBXs and CRMs sent"), default=365, db_default=365, choices=KEPT_DAYS
    )
    exchanges_kept_days = models.PositiveSmallIntegerField(
        _("delivery log"), default=180, db_default=180, choices=KEPT_DAYS
    )
    changes_kept_days = models.PositiveSmallIntegerField(
        _("log of changes and sign-ins"), null=True, blank=True, choices=[(None, _("for ever")), *KEPT_DAYS]
    )
    comments_kept_days = models.PositiveSmallIntegerField(
        _("comments on clients"), null=True, blank=True, choices=[(None, _("for ever")), *KEPT_DAYS]
    )
    planned_kept_days = models.PositiveSmallIntegerField(
        _("planned calls that are done"), null=True, blank=True, choices=[(None, _("for ever")), *KEPT_DAYS]
    )
    number_style = models.CharField(
        _("how numbers are written"),
        max_length=16,
        default=phones.Style.INTERNATIONAL,
        db_default=phones.Style.INTERNATIONAL.value,
        choices=NUMBER_STYLES,
    )
    hidden_from_operators = models.BooleanField(_("hidden from operators"), default=False, db_default=False)
    hidden_from_read_only = models.BooleanField(_("hidden from those who only read"), default=False, db_default=False)
    most_connections = models.PositiveSmallIntegerField(
        _("PBX connections at most"), null=True, blank=True, help_text=_("Empty: no limit.")
    )
    most_integrations = models.PositiveSmallIntegerField(
        _("integrations at most"), null=True, blank=True, help_text=_("Empty: no limit.")
    )
    most_members = models.PositiveSmallIntegerField(
        _("members at most"), null=True, blank=True, help_text=_("Empty: no limit.")
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("company")
        verbose_name_plural = _("companies")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    OWNER = "owner", _("owner")
    ADMINISTRATOR = "administrator", _("administrator")
    OPERATOR = "operator", _("operator")
    READ_ONLY = "read_only", _("read-only")


class Membership(models.Model):
    """A person's role in a company."""

    company = models.ForeignKey(Company, models.CASCADE, related_name="memberships", verbose_name=_("company"))
    user = models.ForeignKey(User, models.CASCADE, related_name="memberships", verbose_name=_("user"))
    role = models.CharField(_("role"), max_length=16, choices=Role)
    journal_columns = models.JSONField(null=True, editable=False)
    """What this person wants to see of calls; None: the usual."""

    class Meta:
        verbose_name = _("member")
        verbose_name_plural = _("members")
        constraints = [
            models.UniqueConstraint(fields=["company", "user"], name="one_membership_per_company"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.get_role_display()}"

    @property
    def look(self) -> phones.Look:
        """How this person sees numbers. Who may change that, and our support, sees them whole."""
        company = self.company
        hidden = {Role.OPERATOR: company.hidden_from_operators, Role.READ_ONLY: company.hidden_from_read_only}
        whole = self.user.is_staff or not hidden.get(Role(self.role), False)
        return phones.Look(company.number_style, company.region, not whole)


def invitation_ends() -> Any:
    return timezone.now() + timedelta(days=7)


class Invitation(models.Model):
    """Somebody is asked to become a member. Of its two links the database has digests alone.

    The link that was mailed proves the address it was mailed to. The one that is shown to be copied proves nothing:
    whoever comes by it has his address confirmed first.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="invitations", verbose_name=_("company"))
    email = models.EmailField(_("e-mail"))
    role = models.CharField(_("role"), max_length=16, choices=Role)
    invited_by = models.ForeignKey(
        User, models.SET_NULL, null=True, related_name="+", verbose_name=_("invited by"), editable=False
    )
    invited_with = models.ForeignKey(
        "ApiKey", models.CASCADE, null=True, related_name="+", verbose_name=_("invited with the key"), editable=False
    )
    mailed_digest = models.CharField(max_length=64, unique=True, editable=False)
    shown_digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    expires_at = models.DateTimeField(_("valid until"), default=invitation_ends)
    accepted_at = models.DateTimeField(_("accepted"), null=True)

    class Meta:
        verbose_name = _("invitation")
        verbose_name_plural = _("invitations")
        ordering = ["email"]
        constraints = [
            models.UniqueConstraint(
                fields=["company", "email"],
                condition=models.Q(accepted_at=None),
                name="one_open_invitation_per_email",
            ),
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def expired(self) -> bool:
        return self.expires_at <= timezone.now()


class Change(models.Model):
    """Who changed what, or signed in. `lines`: what was changed, see `employees.audit`. Nothing here is secret.

    What is written here stays true: names are those of then.
    """

    class Action(models.TextChoices):
        CREATED = "created", _("created")
        CHANGED = "changed", _("changed")
        DELETED = "deleted", _("deleted")
        SIGNED_IN = "signed_in", _("signed in")
        REFUSED = "refused", _("was not let in")

    company = models.ForeignKey(Company, models.CASCADE, null=True, related_name="changes", verbose_name=_("company"))
    at = models.DateTimeField(_("time"), default=timezone.now)
    actor = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("person"))
    actor_name = models.CharField(_("name of the person"), max_length=254, blank=True)
    address = models.GenericIPAddressField(_("address"), null=True)
    kind = models.CharField(_("kind"), max_length=32)
    action = models.CharField(_("action"), max_length=16, choices=Action)
    subject = models.CharField(_("what"), max_length=254, blank=True)
    key = models.CharField(max_length=64)
    lines = models.JSONField(default=list)

    class Meta:
        verbose_name = _("change")
        verbose_name_plural = _("changes")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["company", "id"], name="changes_of_company"),
            models.Index(fields=["company", "kind", "id"], name="changes_of_kind"),
            models.Index(fields=["company", "actor", "id"], name="changes_of_person"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"


class Employee(models.Model):
    """Somebody who talks with clients."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="employees", verbose_name=_("company"))
    name = models.CharField(_("name"), max_length=200)
    email = models.EmailField(_("e-mail"), blank=True)
    user = models.ForeignKey(
        User,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="employees",
        verbose_name=_("user"),
        help_text=_("Who signs in as this employee, if anybody does."),
    )

    class Meta:
        verbose_name = _("employee")
        verbose_name_plural = _("employees")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class EmployeePhone(models.Model):
    """A phone of an employee: calls with it are private and are written into no CRM."""

    company = models.ForeignKey(Company, models.CASCADE, related_name="+", editable=False)
    employee = models.ForeignKey(Employee, models.CASCADE, related_name="phones", verbose_name=_("employee"))
    phone = models.CharField(_("phone"), max_length=32)

    class Meta:
        verbose_name = _("employee's phone")
        verbose_name_plural = _("employees' phones")
        constraints = [models.UniqueConstraint(fields=["company", "phone"], name="one_employee_per_phone")]

    def __str__(self) -> str:
        return self.phone

    def clean(self) -> None:
        self.phone = phones.required(self.phone, self.employee.company.region)

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.company_id = self.employee.company_id
        super().save(*args, **kwargs)


class Extension(models.Model):
    """A short number of the company's PBX, and whose it is.

    One that a call brought and nobody knows waits as `UNKNOWN` until somebody chooses what to do with its calls.
    """

    class Handling(models.TextChoices):
        EMPLOYEE = "employee", _("belongs to an employee")
        DEFAULT = "default", _("calls go to the default responsible")
        IGNORED = "ignored", _("calls are ignored on purpose")
        UNKNOWN = "unknown", _("unknown, waits for a decision")

    company = models.ForeignKey(Company, models.CASCADE, related_name="extensions", verbose_name=_("company"))
    number = models.CharField(_("extension"), max_length=32)
    name = models.CharField(_("name in the PBX"), max_length=200, blank=True)
    handling = models.CharField(
        _("what to do with its calls"), max_length=16, choices=Handling, default=Handling.UNKNOWN
    )
    employee = models.ForeignKey(
        Employee, models.CASCADE, null=True, blank=True, related_name="extensions", verbose_name=_("employee")
    )
    first_seen_at = models.DateTimeField(_("first seen"), auto_now_add=True)

    class Meta:
        verbose_name = _("extension")
        verbose_name_plural = _("extensions")
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["company", "number"], name="one_extension_per_number"),
            models.CheckConstraint(
                condition=models.Q(handling="employee", employee__isnull=False)
                | (~models.Q(handling="employee") & models.Q(employee__isnull=True)),
                name="extension_of_an_employee_has_one",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} · {self.employee or self.name or self.get_handling_display()}"

    def clean(self) -> None:
        """Choosing an employee is saying that the extension is his; taking him away makes it unknown again."""
        if self.employee_id:
            self.handling = self.Handling.EMPLOYEE
        elif self.handling == self.Handling.EMPLOYEE:
            raise ValidationError({"employee": _("Choose the employee, or say what else to do with these calls.")})


class ApiKey(models.Model):
    """A program's way in: of one company, or of a partner to all of his companies. The secret is a digest here.

    After a rotation the secret before it works until `previous_until`. `scopes`: see `employees.api.keys`.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(
        Company, models.CASCADE, null=True, blank=True, related_name="api_keys", verbose_name=_("company")
    )
    partner = models.ForeignKey(
        Partner, models.CASCADE, null=True, blank=True, related_name="api_keys", verbose_name=_("partner")
    )
    name = models.CharField(_("name"), max_length=100)
    prefix = models.CharField(_("begins with"), max_length=16, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    previous_digest = models.CharField(max_length=64, blank=True, db_index=True, editable=False)
    previous_until = models.DateTimeField(null=True, editable=False)
    scopes = models.JSONField(_("what it may do"), default=list)
    expires_at = models.DateTimeField(_("valid until"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, editable=False)
    last_used_at = models.DateTimeField(_("last used"), null=True, editable=False)
    created_by = models.ForeignKey(
        User, models.SET_NULL, null=True, related_name="+", verbose_name=_("made by"), editable=False
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("API key")
        verbose_name_plural = _("API keys")
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(company__isnull=False, partner=None) | models.Q(company=None, partner__isnull=False),
                name="key_of_a_company_or_of_a_partner",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} · {self.prefix}…"

    @property
    def owner(self) -> Company | Partner:
        return self.company or self.partner  # type: ignore[return-value]  # (a constraint holds that)

    @property
    def works(self) -> bool:
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > timezone.now())


class ApiRequest(models.Model):
    """One request to the API. `request_id` is that of the log lines."""

    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="requests", verbose_name=_("API key"))
    company = models.ForeignKey(Company, models.CASCADE, null=True, related_name="+", verbose_name=_("company"))
    at = models.DateTimeField(_("time"), default=timezone.now)
    method = models.CharField(_("method"), max_length=8)
    path = models.CharField(_("address"), max_length=300)
    status = models.PositiveSmallIntegerField(_("status"))
    code = models.CharField(_("problem"), max_length=64, blank=True)
    milliseconds = models.PositiveIntegerField(_("duration, ms"))
    address = models.GenericIPAddressField(_("from"), null=True)
    request_id = models.CharField(max_length=64)

    class Meta:
        verbose_name = _("API request")
        verbose_name_plural = _("API requests")
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["company", "id"], name="api_requests_of_company"),
            models.Index(fields=["at"], name="api_requests_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


class KeptAnswer(models.Model):
    """What was answered to a request that had an `Idempotency-Key`; no `status`: it is not answered (yet).

    `asked` is a digest of method, address and body. The answer may hold a secret that is shown once: it is encrypted.
    """

    api_key = models.ForeignKey(ApiKey, models.CASCADE, related_name="+")
    idempotency_key = models.CharField(max_length=255)
    asked = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(null=True)
    content_type = models.CharField(max_length=100, blank=True)
    body = EncryptedTextField(blank=True)
    at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["api_key", "idempotency_key"], name="one_answer_per_idempotency_key")
        ]


class Embedding(models.Model):
    """The guided path of a company in its partner's own pages: a link that works once, then a session.

    `key` made the link; the session may do nothing that this key may not, and ends with it.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="+", verbose_name=_("company"))
    key = models.ForeignKey(ApiKey, models.CASCADE, related_name="+", verbose_name=_("API key"))
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("created"), default=timezone.now, db_index=True)
    expires_at = models.DateTimeField(_("valid until"))
    opened_at = models.DateTimeField(_("opened at"), null=True)
    seen_at = models.DateTimeField(_("last used"), null=True)

    class Meta:
        verbose_name = _("guided path in a partner's pages")
        verbose_name_plural = _("guided paths in partners' pages")
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.company} · {self.key}"

    @property
    def partner(self) -> Partner:
        return self.key.partner  # type: ignore[return-value]  # (only a partner's key makes one)


class Installation(models.Model):
    """This installation: one row. `version` grows with each change of configuration, for the caches of all processes;
    `canary` is a known text under the encryption key."""

    CANARY = "callbridge"

    version = models.PositiveBigIntegerField(default=0)
    canary = EncryptedCharField(max_length=100, default=CANARY)

    class Meta:
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="one_installation")]
