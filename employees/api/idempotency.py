"""`Idempotency-Key`: a request that is sent twice is done once, and answered twice alike, for 24 hours.

The key is taken before anything is done. Who died in between leaves it taken: a repetition is told so and not done,
since nobody knows what became of it.
"""

from __future__ import annotations

import hashlib

from django.db import IntegrityError, transaction
from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request

from employees.models import KeptAnswer

from .access import key_of
from .keeping import ANSWERS_KEPT
from .problems import Problem

HEADER = "Idempotency-Key"
LONGEST = 255


def begin(request: Request) -> KeptAnswer | None:
    """The row of a request that has a key: with an answer where it was answered, else to be done now.

    Raises a `Problem` where the key is another request's, or its request is not answered.
    """
    key = request.headers.get(HEADER)
    if key is None or request.method != "POST":
        return None
    if not 1 <= len(key) <= LONGEST:
        raise Problem("malformed", f"{HEADER}: 1…{LONGEST} characters")
    asked = _digest(request)
    ours = {"api_key": key_of(request), "idempotency_key": key}
    KeptAnswer.objects.filter(**ours, at__lt=timezone.now() - ANSWERS_KEPT).delete()
    try:
        with transaction.atomic():
            return KeptAnswer.objects.create(**ours, asked=asked)
    except IntegrityError:
        row = KeptAnswer.objects.get(**ours)
    if row.asked != asked:
        raise Problem("idempotency_key_reused")
    if row.status is None:
        raise Problem("request_in_progress")
    return row


def answered(row: KeptAnswer) -> HttpResponse:
    return HttpResponse(
        row.body, status=row.status, content_type=row.content_type, headers={"Idempotent-Replayed": "true"}
    )


def keep(row: KeptAnswer, response: HttpResponse) -> None:
    """What failed on our side may be tried again with the same key."""
    if response.status_code >= 500:
        row.delete()
        return
    row.status, row.body = response.status_code, response.content.decode()
    row.content_type = response.headers.get("Content-Type", "")
    row.save(update_fields=["status", "body", "content_type"])


def _digest(request: Request) -> str:
    asked = f"{request.method} {request.get_full_path()} {request.headers.get('Callbridge-Company', '')}\n".encode()
    return hashlib.sha256(asked + request.body).hexdigest()
