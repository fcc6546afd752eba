from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TelephonyConfig(AppConfig):
    name = "telephony"
    verbose_name = _("Telephony")

    def ready(self) -> None:
        from employees import audit, installation

        from . import actors, live, models  # noqa: F401  (actors and pages that live listen to changes of calls)

        installation.watch(models.Connection, models.WebhookAddress, models.VirtualNumber)
        audit.watch(
            models.Connection,
            "connection",
            "name",
            "active",
            title=_("PBX connection"),
            secret=("secrets",),
            labels=lambda row: row.protocol.form.base_fields,
        )
        audit.watch(
            models.VirtualNumber, "number", "line_name", "hours", title=_("virtual number"), name=lambda row: row.number
        )
        audit.watch(
            models.BrowserPhone,
            "browser_phone",
            "connection",
            "extension",
            "login",
            title=_("phone in the browser"),
            secret=("password",),
            name=lambda row: str(row.employee),
        )
