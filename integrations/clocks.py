"""Our own clock was put back: work in CRMs and for webhooks does not wait for the time that it showed before."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F

from telephony.clocks import pull_back
from telephony.hot import Constant, hot_write

from . import deliveries
from .claims import LEASE
from .credentials import REFRESH_LEASE
from .models import CallSync, Credential, CrmEvent, Lane, WebhookDelivery, WebhookEndpoint

LONGEST_PAUSE = timedelta(days=1)
"""The longest that a vendor asks us to wait."""


def mend() -> None:
    work = CallSync.objects.filter(state=Constant(CallSync.State.WANTED), parked=False, wanted__gt=F("noted"))
    webhooks = WebhookDelivery.objects.filter(state=Constant(WebhookDelivery.State.WAITING))
    with hot_write():
        pull_back(Lane.objects.all(), "lease_until", LEASE)
        pull_back(Lane.objects.all(), "open_at", LONGEST_PAUSE)
        pull_back(work, "lease_until", LEASE)
        pull_back(work, "not_before", LONGEST_PAUSE)
        pull_back(work, "due_at", timedelta(0))
        pull_back(Credential.objects.all(), "refresh_lease", REFRESH_LEASE)
        pull_back(CrmEvent.objects.filter(state=CrmEvent.State.NEW), "not_before", LONGEST_PAUSE)
        pull_back(WebhookEndpoint.objects.all(), "lease_until", deliveries.LEASE)
        pull_back(WebhookEndpoint.objects.all(), "open_at", LONGEST_PAUSE)
        pull_back(webhooks, "due_at", LONGEST_PAUSE)
