from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class EmployeesConfig(AppConfig):
    name = "employees"
    verbose_name = _("People")

    def ready(self) -> None:
        from . import installation, models

        installation.watch(models.Company, models.Employee, models.EmployeePhone, models.Extension, models.Membership)
