from django.apps import AppConfig
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class IntegrationsConfig(AppConfig):
    name = "integrations"
    verbose_name = _("Integrations")

    def ready(self) -> None:
        from employees import audit, installation

        from . import models
        from .card_fields import settings_fields

        installation.watch(
            models.Integration,
            models.EmployeeMapping,
            models.Rule,
            models.WebhookEndpoint,
            through=(
                models.Integration.connections.through,
                models.Integration.numbers.through,
                models.Rule.numbers.through,
                models.WebhookEndpoint.connections.through,
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
            labels=lambda row: settings_fields(row),
        )
        audit.watch(models.EmployeeMapping, "integration", of=lambda row: row.integration)
        audit.watch(
            models.Rule,
            "rule",
            "place",
            "direction",
            "outcome",
            "client",
            "hours",
            "numbers",
            "settings",
            title=_("rule"),
            labels=lambda row: row.integration.credential.adapter.settings_form.base_fields,
            company=lambda row: row.integration.company_id,
            name=lambda row: str(row.integration),
        )
        audit.watch(
            models.CardWrite,
            "crm_data",
            title=_("data in a CRM"),
            by_hand=lambda save: not save.get("update_fields"),
        )
        audit.watch(
            models.WebhookEndpoint,
            "webhook",
            "name",
            "host",
            "kinds",
            "connections",
            "active",
            "deleted_at",
            title=_("webhook"),
            secret=("url", "secrets"),
        )
        # They listen to telephony, to the client book and to the schedule.
        from . import actors, notice_actors, parts, plan, routing, support_groups, telling, webhook_actors  # noqa: F401

        post_migrate.connect(support_groups.make, sender=self)
