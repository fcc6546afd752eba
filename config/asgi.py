"""The product's entrance: the door for PBXs in front, Django behind it, one process."""

import os

import django
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup(set_prefix=False)

from telephony.pipeline import pipeline  # noqa: E402
from telephony.webhooks import WebhookDoor  # noqa: E402

application = WebhookDoor(get_asgi_application(), pipeline)  # type: ignore[arg-type]
