from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = _("Integrations")

    def ready(self) -> None:
        from employees import installation

        from . import models

        installation.watch(
            models.Integration,
            models.EmployeeMapping,
            models.Rule,
            through=(
                models.Integration.connections.through,
                models.Integration.numbers.through,
                models.Rule.numbers.through,
            ),
        )
        from . import actors, notice_actors, plan, routing  # noqa: F401  (they listen to telephony and to the schedule)
