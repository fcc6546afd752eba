"""What PBXs were answered to their questions, noted as decisions about the calls that they asked about."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.utils import timezone

from . import calls, directory, feed
from .events import ANSWER_PATH, AnswerGiven, answer_of
from .models import Call, Decision, InboxEvent

ROUTING = "routing"
"""The kind of decisions about who shall take a call."""
BEFORE = timedelta(minutes=5)
"""So long before the first event of a call a PBX may have asked about it."""


def note(answers: list[tuple[InboxEvent, AnswerGiven]], changed: Iterable[Call]) -> None:
    """Inside the transaction that folds `changed`. Some PBXs ask before they tell of the call: its answer waits."""
    answers = answers + _that_waited([call for call in changed if call.version == 1])
    if not answers:
        return
    found = calls.find({(event.connection_id, given.call) for event, given in answers})
    decided = set(Decision.objects.filter(call__in=found.values(), kind=ROUTING).values_list("call_id", flat=True))
    decisions = []
    for event, given in answers:
        call = found.get((event.connection_id, given.call))
        if call is None:
            continue
        event.call_id = call.pk
        if call.pk not in decided:  # else the PBX asked twice
            decided.add(call.pk)
            decisions.append(_decision(call, event, given))
            if given.client:
                feed.link_client(call.pk, given.client)
    Decision.objects.bulk_create(decisions)


def _that_waited(new: list[Call]) -> list[tuple[InboxEvent, AnswerGiven]]:
    """Answers that were given before these calls were known, now theirs."""
    asked = {(call.connection_id, call.key): call for call in new if directory.by_id(call.connection_id).provider.asks}
    if not asked:
        return []
    waiting = InboxEvent.objects.filter(
        connection__in={connection_id for connection_id, _ in asked},
        received_at__gt=timezone.now() - BEFORE,
        path=ANSWER_PATH,
        call=None,
        state=InboxEvent.State.FOLDED,
    )
    told = [(event, answer_of(event)) for event in waiting]
    theirs = [(event, given) for event, given in told if (event.connection_id, given.call) in asked]
    for event, given in theirs:
        InboxEvent.objects.filter(pk=event.pk).update(call=asked[event.connection_id, given.call])
    return theirs


def _decision(call: Call, event: InboxEvent, given: AnswerGiven) -> Decision:
    return Decision(
        call=call,
        at=event.received_at,
        kind=ROUTING,
        code=given.code,
        details=given.details,
        milliseconds=given.milliseconds,
    )
