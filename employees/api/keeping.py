"""What the API writes down is kept for its time, and then deleted, a batch at a time."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from employees.models import ApiRequest, Embedding, KeptAnswer

ANSWERS_KEPT = timedelta(hours=24)
REQUESTS_KEPT = timedelta(days=90)
EMBEDDINGS_KEPT = timedelta(days=7)
BATCH = 1000


def delete_old() -> None:
    """A batch of what is older of each; the schedule comes again."""
    now = timezone.now()
    answers = KeptAnswer.objects.filter(at__lt=now - ANSWERS_KEPT).order_by("at")
    KeptAnswer.objects.filter(pk__in=list(answers.values_list("pk", flat=True)[:BATCH])).delete()
    requests = ApiRequest.objects.filter(at__lt=now - REQUESTS_KEPT).order_by("at")
    ApiRequest.objects.filter(pk__in=list(requests.values_list("pk", flat=True)[:BATCH])).delete()
    embeddings = Embedding.objects.filter(created_at__lt=now - EMBEDDINGS_KEPT).order_by("created_at")
    Embedding.objects.filter(pk__in=list(embeddings.values_list("pk", flat=True)[:BATCH])).delete()
