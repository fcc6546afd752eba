from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class TelephonyConfig(AppConfig):
    name = "telephony"
    verbose_name = _("Telephony")

    def ready(self) -> None:
        from employees import installation

        from . import actors, live, models  # noqa: F401  (actors and pages that live listen to changes of calls)

        installation.watch(models.Connection, models.WebhookAddress, models.VirtualNumber)
