"""Clients, entered here or mirrored from a CRM."""

from __future__ import annotations

import uuid

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from employees.models import Company, Employee, User


class Client(models.Model):
    """A client of a company.

    `source` names the CRM account that it is mirrored from (empty: entered here), `entity` the record there,
    `manager` the CRM's user who is responsible. `seen_at` says how fresh this is. `details` are further fields of the
    record by their names (of those entered here: `book.FIELDS`), as of `detailed_at`; None: nobody has asked for them.
    """

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(Company, models.CASCADE, related_name="clients", verbose_name=_("company"))
    source = models.CharField(_("source"), max_length=64, blank=True)
    entity = models.CharField(_("record in the CRM"), max_length=64, blank=True)
    name = models.CharField(_("name"), max_length=300)
    organisation = models.CharField(_("organisation"), max_length=300, blank=True)
    manager = models.CharField(_("personal manager in the CRM"), max_length=64, blank=True)
    manager_extension = models.CharField(_("extension of the manager in the CRM"), max_length=32, blank=True)
    link = models.CharField(_("link"), max_length=500, blank=True)
    deals = models.JSONField(_("open deals"), default=list, blank=True)
    others = models.JSONField(_("other matches"), default=list, blank=True)
    details = models.JSONField(_("further fields"), null=True, blank=True)
    detailed_at = models.DateTimeField(null=True, editable=False)
    seen_at = models.DateTimeField(_("as of"), auto_now=True)

    class Meta:
        verbose_name = _("client")
        verbose_name_plural = _("clients")
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["company", "source", "entity"], condition=~models.Q(entity=""), name="one_client_per_record"
            )
        ]

    def __str__(self) -> str:
        return self.name


class ClientPhone(models.Model):
    """A phone (E.164) of a client; one phone may belong to several clients."""

    company = models.ForeignKey(Company, models.CASCADE, related_name="+")
    client = models.ForeignKey(Client, models.CASCADE, related_name="phones", verbose_name=_("client"))
    phone = models.CharField(_("phone"), max_length=32)

    class Meta:
        verbose_name = _("client's phone")
        verbose_name_plural = _("clients' phones")
        constraints = [models.UniqueConstraint(fields=["client", "phone"], name="one_phone_per_client")]
        indexes = [models.Index(fields=["company", "phone"])]

    def __str__(self) -> str:
        return self.phone


class Comment(models.Model):
    """What somebody noted of a client, mostly while they spoke: it is kept under the number, so it is there whether or
    not the client is known. `call` is the UUID of the call."""

    company = models.ForeignKey(
        Company, models.CASCADE, related_name="comments", verbose_name=_("company"), db_index=False
    )
    client_phone = models.CharField(_("client's number"), max_length=128, blank=True)
    call = models.UUIDField(_("call"), db_index=True)
    author = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("author"))
    at = models.DateTimeField(_("at"), auto_now_add=True)
    text = models.TextField(_("comment"))

    class Meta:
        verbose_name = _("comment")
        verbose_name_plural = _("comments")
        ordering = ["-at", "-id"]
        indexes = [models.Index(fields=["company", "client_phone", "-at"], name="comment_by_client")]

    def __str__(self) -> str:
        return self.text[:80]


class Task(models.Model):
    """Something to be done about a client, where no CRM keeps it: under his number, so it is there whether or not he is
    known. `call` is the UUID of the call in which it was set. Without an employee it is anybody's."""

    uuid = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    company = models.ForeignKey(
        Company, models.CASCADE, related_name="tasks", verbose_name=_("company"), db_index=False
    )
    client_phone = models.CharField(_("client's number"), max_length=128, blank=True)
    call = models.UUIDField(_("call"), db_index=True)
    text = models.TextField(_("task"))
    due_at = models.DateTimeField(_("until when"))
    employee = models.ForeignKey(
        Employee, models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("who does it")
    )
    made_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("set by"))
    made_at = models.DateTimeField(_("set"), default=timezone.now)
    done_by = models.ForeignKey(User, models.SET_NULL, null=True, related_name="+", verbose_name=_("done by"))
    done_at = models.DateTimeField(_("done"), null=True)

    class Meta:
        verbose_name = _("task")
        verbose_name_plural = _("tasks")
        ordering = ["due_at", "id"]
        indexes = [
            models.Index(fields=["company", "due_at"], condition=models.Q(done_at=None), name="task_open"),
            models.Index(fields=["company", "-done_at"], condition=models.Q(done_at__isnull=False), name="task_done"),
            models.Index(fields=["company", "client_phone"], name="task_by_client"),
        ]

    def __str__(self) -> str:
        return self.text[:80]

    @property
    def overdue(self) -> bool:
        return not self.done_at and self.due_at < timezone.now()
