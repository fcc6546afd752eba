"""What CRMs sent is kept as long as the company wants, and the memory of what was handled is not for ever."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from employees.models import Company
from integrations import keeping
from integrations.models import CrmEvent, SeenEvent
from telephony import keeping as telephony_keeping
from tests.factories import CredentialFactory, CrmEventFactory, SeenEventFactory

pytestmark = pytest.mark.django_db

State = CrmEvent.State


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (keeping, telephony_keeping):
        monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(telephony_keeping, "BREATH", 0)


def test_old_events_go_and_what_waits_stays():
    mine, theirs = CredentialFactory.create(), CredentialFactory.create()
    Company.objects.filter(pk=mine.company_id).update(events_kept_days=30)
    for credential in (mine, theirs):
        for state in (State.HANDLED, State.HANDLED, State.HANDLED, State.FAILED, State.NEW):
            CrmEventFactory.create(credential=credential, state=state)
    CrmEvent.objects.update(received_at=timezone.now() - timedelta(days=31))
    young = CrmEventFactory.create(credential=mine, state=State.HANDLED)
    keeping.delete_old()
    assert list(CrmEvent.objects.filter(credential=mine).order_by("id").values_list("state", flat=True)) == [
        State.NEW,
        young.state,
    ]
    assert CrmEvent.objects.filter(credential=theirs).count() == 5


def test_what_was_handled_is_forgotten_when_no_crm_repeats_it_any_more():
    credential = CredentialFactory.create()
    for _ in range(5):
        SeenEventFactory.create(credential=credential)
    SeenEvent.objects.update(at=timezone.now() - timedelta(days=keeping.SEEN_DAYS + 1))
    SeenEventFactory.create(credential=credential, key="today")
    keeping.delete_old()
    assert list(SeenEvent.objects.values_list("key", flat=True)) == ["today"]
