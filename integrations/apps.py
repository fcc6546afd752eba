from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = _("Integrations")

    def ready(self) -> None:
        from employees import audit, installation

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
        audit.watch(
            models.Credential,
            "credential",
            "name",
            title=_("CRM credential"),
            secret=("secrets",),
            labels=lambda row: row.adapter.credential_form.base_fields,
            by_hand=lambda save: not save.get("update_fields"),  # as in its `save`
        )
        audit.watch(
            models.Integration,
            "integration",
            "name",
            "credential",
            "active",
            "connections",
            "filter_numbers",
            "numbers",
            "settings",
            title=_("integration"),
            labels=lambda row: row.credential.adapter.settings_form.base_fields,
        )
        audit.watch(models.EmployeeMapping, "integration", of=lambda row: row.integration)
        audit.watch(
            models.Rule,
            "rule",
            "place",
            "direction",
            "outcome",
            "client",
            "numbers",
            "settings",
            title=_("rule"),
            labels=lambda row: row.integration.credential.adapter.settings_form.base_fields,
            company=lambda row: row.integration.company_id,
            name=lambda row: str(row.integration),
        )
        from django.db.models.signals import post_migrate

        from . import support_groups

        post_migrate.connect(support_groups.make, sender=self)
        from . import actors, notice_actors, plan, routing  # noqa: F401  (they listen to telephony and to the schedule)
