"""Who changed what: what people change is written down with the person, the time and the address.

Models are watched by name of their fields, so nothing secret gets in by oversight. Only what a person does is written
down (`acting`); what the product changes by itself is told elsewhere. Words are kept untranslated.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from django import forms
from django.db import models
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_save
from django.http import HttpRequest
from django.utils import translation
from django.utils.encoding import force_str
from django.utils.translation import gettext_lazy as _
from django.utils.translation import gettext_noop

from .models import Change, Membership, User

LONGEST = 200
"""Characters that are kept of a value."""

KINDS: dict[str, Any] = {
    "company": _("company settings"),
    "member": _("member"),
    "invitation": _("invitation"),
    "employee": _("employee"),
    "extension": _("extension"),
    "sign_in": _("sign-in"),
    "account": _("own account"),
}
"""Kinds of changes, in words. The rooms above add theirs when they have something watched."""

Line = dict[str, Any]


# --- Who acts ---------------------------------------------------------------------------------------------------------


@dataclass
class Actor:
    user: User | None
    name: str
    address: str | None = None
    noted: dict[tuple[str, str], int] = field(default_factory=dict)
    """What he changed just now, by kind and key: further changes of it join its row."""


_actor: ContextVar[Actor | None] = ContextVar("audit_actor", default=None)


@contextmanager
def acting(actor: Actor | None) -> Iterator[None]:
    """What is changed within is this person's doing; of nobody nothing is written down."""
    before = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(before)


def act(actor: Actor) -> None:
    """From now on, until the `acting` around it ends, it is his doing."""
    _actor.set(actor)


def actor_of(request: HttpRequest) -> Actor | None:
    user = request.user
    return Actor(user, user.email, address_of(request)) if isinstance(user, User) else None


def address_of(request: HttpRequest) -> str | None:
    try:
        return str(ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")))
    except ValueError:
        return None


# --- What is watched --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Watched:
    """How changes of a model are told.

    `secret`: fields of which it is told that they changed, and never what they are. `labels`: the form whose fields a
    JSON field keeps. `of`: the row that this one is a part of; its changes are told as changes of that one. `by_hand`:
    whether a save with these arguments is a person's.
    """

    kind: str
    fields: tuple[str, ...]
    secret: tuple[str, ...] = ()
    labels: Callable[[Any], Mapping[str, forms.Field]] = lambda _row: {}
    of: Callable[[Any], models.Model] | None = None
    company: Callable[[Any], int | None] = lambda row: row.company_id
    name: Callable[[Any], str] = str
    by_hand: Callable[[dict[str, Any]], bool] = lambda _save: True


_watched: dict[type[models.Model], Watched] = {}


def watch(model: type[models.Model], kind: str, *fields: str, title: Any = None, **told: Any) -> None:
    """Write down what people change of these fields, many-to-many fields among them. `title`: of a new kind."""
    if title:
        KINDS[kind] = title
    many = [name for name in fields if model._meta.get_field(name).many_to_many]
    _watched[model] = Watched(kind, tuple(name for name in fields if name not in many), **told)
    pre_save.connect(_before, sender=model)
    post_save.connect(_saved, sender=model)
    post_delete.connect(_deleted, sender=model)
    for name in many:
        m2m_changed.connect(_linked, sender=getattr(model, name).through)


def _before(sender: type[models.Model], instance: Any, **_: Any) -> None:
    if _actor.get() and not instance._state.adding:
        instance._before = sender._base_manager.filter(pk=instance.pk).first()


def _saved(sender: type[models.Model], instance: Any, created: bool, **save: Any) -> None:
    told = _watched[sender]
    if not _actor.get() or not told.by_hand(save):
        return
    before = None if created else instance.__dict__.pop("_before", None)
    if told.of:
        _note_part(sender, instance, str(before) if before else None, str(instance))
        return
    only = save.get("update_fields")
    names = [name for name in told.fields if only is None or name in only]
    lines = [line for name in names for line in _differences(told, name, before, instance)]
    lines += [_secret_line(told, name, before, instance) for name in told.secret if _differs(name, before, instance)]
    note(instance, lines, Change.Action.CREATED if created else Change.Action.CHANGED)


def _deleted(sender: type[models.Model], instance: Any, origin: Any = None, **_: Any) -> None:
    """What goes with another row that is deleted is not told by itself."""
    if not _actor.get() or not (origin is instance or getattr(origin, "model", None) is sender):
        return
    if _watched[sender].of:
        _note_part(sender, instance, str(instance), None)
    else:
        note(instance, [], Change.Action.DELETED)


def _note_part(sender: type[models.Model], part: Any, before: str | None, after: str | None) -> None:
    whole = _watched[sender].of
    if whole and before != after:
        note(whole(part), [line(sender._meta.verbose_name, before, after)])


def _linked(sender: Any, instance: Any, action: str, model: Any, pk_set: Any, reverse: bool, **_: Any) -> None:
    if not _actor.get() or reverse or action not in ("post_add", "post_remove") or not pk_set:
        return
    field = next(row for row in instance._meta.many_to_many if row.remote_field.through is sender)
    names = ", ".join(str(row) for row in model._base_manager.filter(pk__in=pk_set))[:LONGEST]
    before, after = (None, names) if action == "post_add" else (names, None)
    note(instance, [line(field.verbose_name, before, after)])


# --- Writing down -----------------------------------------------------------------------------------------------------


def line(label: Any, before: Any, after: Any) -> Line:
    return {"label": _english(label), "before": before, "after": after}


def secret_line(label: Any, names: Iterable[str] = ()) -> Line:
    """Something secret changed; `names`: which parts of it."""
    return {"label": _english(label), "secret": True, "names": list(names)}


def note(row: Any, lines: list[Line], action: str = Change.Action.CHANGED) -> None:
    """Write down what the person who acts has changed of a watched `row`; what he changed just now is told once."""
    actor, told = _actor.get(), _watched[type(row)]
    if not actor or (action == Change.Action.CHANGED and not lines):
        return
    place = (told.kind, str(row.pk))
    earlier = Change.objects.filter(pk=actor.noted.get(place, 0)).first() if action == Change.Action.CHANGED else None
    if earlier:
        earlier.lines = [*earlier.lines, *lines]
        earlier.save(update_fields=["lines"])
        return
    actor.noted[place] = Change.objects.create(
        company_id=told.company(row),
        actor=actor.user,
        actor_name=actor.name,
        address=actor.address,
        kind=told.kind,
        action=action,
        subject=told.name(row)[:LONGEST],
        key=str(row.pk),
        lines=lines,
    ).pk


def note_refusal(user: User, request: HttpRequest | None) -> None:
    """Somebody, nobody knows who, wanted to be let in as this person and was not."""
    rows = Membership.objects.filter(user=user).values_list("company_id", flat=True)
    companies: list[int | None] = [*rows]
    Change.objects.bulk_create(
        Change(
            company_id=company,
            address=address_of(request) if request else None,
            kind="sign_in",
            action=Change.Action.REFUSED,
            subject=user.email,
            key=str(user.pk),
        )
        for company in companies or [None]
    )


def note_person(user: User, request: HttpRequest, kind: str, action: str, lines: list[Line]) -> None:
    """Write down what somebody (or support) did about himself, for each of his companies; for support alone where he
    has none."""
    actor = request.user if isinstance(request.user, User) else user
    companies: list[int | None] = [*user.memberships.values_list("company_id", flat=True)]
    Change.objects.bulk_create(
        Change(
            company_id=company,
            actor=actor,
            actor_name=actor.email,
            address=address_of(request),
            kind=kind,
            action=action,
            subject=user.email,
            key=str(user.pk),
            lines=lines,
        )
        for company in companies or [None]
    )


# --- What is different ------------------------------------------------------------------------------------------------


def _differs(name: str, before: Any, after: Any) -> bool:
    return before is not None and getattr(before, name) != getattr(after, name)


def _differences(told: Watched, name: str, before: Any, after: Any) -> list[Line]:
    """Of a new row what it begins with; the settings of a new row are the usual ones."""
    kept = after._meta.get_field(name)
    if isinstance(kept, models.JSONField):
        return _settings(told, name, before, after) if before else []
    old, new = _shown(kept, before) if before else None, _shown(kept, after)
    if old == new or (not before and new == str(after)):
        return []
    return [line(kept.verbose_name, old, new)]


def _settings(told: Watched, name: str, before: Any, after: Any) -> list[Line]:
    """The fields of a form that are kept as JSON, one line for each that is different."""
    old, new = getattr(before, name) or {}, getattr(after, name) or {}
    known = told.labels(after)
    found = []
    for key in {**old, **new}:
        if old.get(key) == new.get(key):
            continue
        asked = known.get(key)
        label = _label(known, key)
        if asked is not None and isinstance(asked.widget, forms.PasswordInput):
            found.append(secret_line(label))
        else:
            found.append(line(label, _chosen(asked, old.get(key)), _chosen(asked, new.get(key))))
    return found


def _secret_line(told: Watched, name: str, before: Any, after: Any) -> Line:
    """That a secret changed; where it holds the fields of a form, which of them."""
    old, new = _loaded(getattr(before, name)), _loaded(getattr(after, name))
    known = told.labels(after)
    return secret_line(_("keys"), [_label(known, key) for key in {**old, **new} if old.get(key) != new.get(key)])


def _label(known: Mapping[str, forms.Field], key: str) -> str:
    return _english(known[key].label) if key in known and known[key].label else key


def _loaded(text: str) -> dict[str, Any]:
    try:
        loaded = json.loads(text)
    except ValueError:
        return {}
    return loaded if isinstance(loaded, dict) else {}


def _shown(kept: Any, row: Any) -> Any:
    """A field's value as a person reads it: text, or words of ours that are translated later."""
    value = getattr(row, kept.name)
    if kept.choices and (words := _english(dict(kept.flatchoices).get(value, ""))):
        return {"words": words}
    return _plain(value)


def _chosen(asked: forms.Field | None, value: Any) -> Any:
    listed: Any = asked.choices if isinstance(asked, forms.ChoiceField) else ()
    choices = dict(listed)
    if isinstance(value, str) and value in choices:
        return {"words": _english(choices[value])}
    return _plain(value)


def _plain(value: Any) -> Any:
    if isinstance(value, bool):
        return switch(value)
    if value is None or value == "" or value == []:
        return None
    return (json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value))[:LONGEST]


def switch(value: bool) -> dict[str, str]:
    return {"words": gettext_noop("on") if value else gettext_noop("off")}


def _english(words: Any) -> str:
    """The text that has translations."""
    with translation.override("en"):
        return force_str(words)
