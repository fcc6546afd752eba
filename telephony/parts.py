"""Calls that turn out to be one: some PBXs give a client who is handed on a new id, and say only afterwards that it is
a part of the call before."""

from __future__ import annotations

from collections.abc import Collection

from clients.models import Comment

from . import feed, statements
from .models import Call, CallAlias, Command, Decision, ExchangeCall, InboxEvent, PlannedCall, Recording
from .providers.base import Alias
from .signals import call_absorbed
from .told import CallKey, Told


def join(told: Told, calls: dict[CallKey, Call]) -> set[int]:
    """Take together what turns out to be one call: what was told under both ids, and what stood apart so far. Returns
    the ids of calls that got what another one had."""
    named = {
        (key[0], fact.other): key for key, facts in told.facts.items() for fact in facts if isinstance(fact, Alias)
    }
    if not named:
        return set()
    grown: set[int] = set()
    apart = _apart(named)
    for other in named:
        whole = _whole(other, named)
        part = apart.get(other)
        if whole == other or _sealed(calls.get(whole)) or _sealed(part):
            continue
        told.move(other, whole)
        if part is None:
            continue
        calls.pop(other, None)
        if whole in calls:
            _absorb(calls[whole], part)
            grown.add(calls[whole].pk)
        else:
            part.key = whole[1]
            Call.objects.filter(pk=part.pk).update(key=part.key)
            calls[whole] = part
    return grown


def _apart(named: Collection[CallKey]) -> dict[CallKey, Call]:
    """The calls that stand under these ids."""
    rows = statements.select(Call, {"connection_id": {key[0] for key in named}, "key": {key[1] for key in named}})
    return {(call.connection_id, call.key): call for call in rows if (call.connection_id, call.key) in named}


def _whole(other: CallKey, named: dict[CallKey, CallKey]) -> CallKey:
    """The call that an id belongs to in the end: a part may have parts."""
    whole = named[other]
    for _ in named:
        whole = named.get(whole, whole)
    return whole


def _sealed(call: Call | None) -> bool:
    return call is not None and call.sealed_at is not None


def _absorb(whole: Call, part: Call) -> None:
    """What belonged to the part belongs to the whole; CRMs are told of the whole from now on."""
    for model in (InboxEvent, CallAlias, Command, Decision, PlannedCall):
        model._default_manager.filter(call=part).update(call=whole)
    Recording.objects.filter(call=part).exclude(key__in=whole.recordings.values("key")).update(call=whole)
    ExchangeCall.objects.filter(call=part).exclude(exchange__in=whole.exchanges.values("pk")).update(call=whole)
    Comment.objects.filter(call=part.uuid).update(call=whole.uuid)
    feed.note_gone(part, into=whole)
    call_absorbed.send(Call, whole=whole, part=part)
    part.delete()
