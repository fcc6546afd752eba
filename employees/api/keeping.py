"""What the API writes down is kept for its time, and then deleted, a batch at a time."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from employees.models import ApiRequest, KeptAnswer

ANSWERS_KEPT = timedelta(hours=24)
REQUESTS_KEPT = timedelta(days=90)
BATCH = 1000


def delete_old() -> None:
    """A batch of answers for repetitions and of requests that are older; the schedule comes again."""
    now = timezone.now()
    answers = KeptAnswer.objects.filter(at__lt=now - ANSWERS_KEPT).order_by("at")
    KeptAnswer.objects.filter(pk__in=list(answers.values_list("pk", flat=True)[:BATCH])).delete()
    requests = ApiRequest.objects.filter(at__lt=now - REQUESTS_KEPT).order_by("at")
    ApiRequest.objects.filter(pk__in=list(requests.values_list("pk", flat=True)[:BATCH])).delete()
