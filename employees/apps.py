from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class EmployeesConfig(AppConfig):
    name = "employees"
    verbose_name = _("People")

    def ready(self) -> None:
        from . import audit, installation, models, sign_ins  # noqa: F401  (it listens to who signs in)

        installation.watch(models.Company, models.Employee, models.EmployeePhone, models.Extension, models.Membership)

        kept = tuple(f"{what}_kept_days" for what in models.KEPT)
        named = ("name", "time_zone", "region", "language")
        shown = ("number_style", "hidden_from_operators", "hidden_from_read_only")
        most = ("most_connections", "most_integrations", "most_members")
        audit.watch(models.Company, "company", *named, *kept, *shown, *most, company=lambda row: row.pk)
        audit.watch(models.Membership, "member", "role", name=lambda row: row.user.email)
        audit.watch(models.Invitation, "invitation", "role")
        audit.watch(models.ApiKey, "key", "name", "scopes", "expires_at", title=_("API key"))
        partner = {"title": _("partner"), "company": lambda _row: None}
        audit.watch(models.Partner, "partner", "name", "colour", "origins", **partner)
        audit.watch(models.Embedding, "embedding", title=_("guided path in a partner's pages"))
        audit.watch(models.Employee, "employee", "name", "email", "user")
        audit.watch(models.EmployeePhone, "employee", of=lambda row: row.employee)
        audit.watch(models.Extension, "extension", "name", "handling", "employee", name=lambda row: row.number)
