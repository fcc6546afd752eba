from django import forms
from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ClientsConfig(AppConfig):
    name = "clients"
    verbose_name = _("Clients")

    def ready(self) -> None:
        from employees import audit

        from . import book
        from .models import Client, Task

        audit.watch(
            Client,
            "client",
            "name",
            "organisation",
            "details",
            title=_("client"),
            labels=lambda _row: {name: forms.CharField(label=title) for name, title in book.FIELDS.items()},
        )
        audit.watch(Task, "task", "text", "due_at", "employee", "done_at", title=_("task"))
