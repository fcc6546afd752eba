"""What the demonstration does inside Django: the support desk's user, and the CRM's side of the integration."""

from __future__ import annotations

import os
import sys

import django

SUPPORT = "support@callbridge.example"
SUPPORT_PASSWORD = "demo-Support-3"


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from employees.models import User
    from integrations import crm_setup
    from integrations.models import Credential
    from outbound.errors import OutboundError

    if not User.objects.filter(email=SUPPORT).exists():
        User.objects.create_superuser(SUPPORT, SUPPORT_PASSWORD)
    for credential in Credential.objects.filter(state=Credential.State.READY):
        try:
            crm_setup.prepare(credential)
        except OutboundError as error:
            sys.exit(f"{credential}: {error.code} {error.words}")


if __name__ == "__main__":
    main()
