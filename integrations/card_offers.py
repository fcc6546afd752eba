"""What a card offers to have written into a CRM: its forms, by what that account can and knows."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import forms
from django.http import QueryDict

from clients.models import Client
from clients.task_pages import TaskForm, tomorrow
from crm_adapters.base import Capability
from crm_adapters.contacts import NAME, ContactField
from employees import phones
from employees.models import Employee, User
from telephony.models import Call

from . import card_fields
from .directory import Wanting
from .models import CardWrite, Credential

Kind, State = CardWrite.Kind, CardWrite.State
Build = Callable[[QueryDict | dict[str, str] | None], forms.Form]
LONGEST, LONGEST_TEXT = 300, 4000


@dataclass
class Offer:
    """A form of the card. `last` is what became of the one before it: of a refused one the form has what was typed."""

    kind: str
    build: Build
    last: CardWrite | None = None

    def __post_init__(self) -> None:
        self.token = uuid.uuid4()

    @property
    def form(self) -> forms.Form:
        return self.build(self._typed())

    @property
    def reopened(self) -> bool:
        return bool(self.last and self.last.state == State.REFUSED)

    def _typed(self) -> dict[str, str] | None:
        if self.last is None or not self.reopened or self.kind == Kind.TASK:
            return None
        return self.last.values


def of(
    call: Call,
    wanting: Wanting,
    credential: Credential,
    client: Client | None,
    *,
    unknown: bool,
    author: User,
    writes: Mapping[str, CardWrite],
) -> list[Offer]:
    """`unknown`: whether the CRM has said that it does not know the number. `writes`: the last of each kind."""
    if credential.state != Credential.State.READY:
        return []
    able = credential.adapter.able(credential.values)
    fields = card_fields.chosen(credential.adapter, wanting.settings)
    ways: dict[str, Build] = {}

    def name(what: str) -> str:
        return f"{what}-{call.uuid.hex}-{wanting.integration_id}-%s"

    if Capability.CONTACTS in able and client is None and unknown:
        ways[Kind.CREATE] = partial(contact_form, fields or credential.adapter.contact_fields[:1], None, name("new"))
    if Capability.CONTACTS in able and client and client.details:
        changed = [each for each in fields if each.name in client.details and not each.fixed]
        if seen := [each for each in changed if _is_whole(client.details[each.name])]:
            ways[Kind.SAVE] = partial(contact_form, seen, client.details, name("data"))
    if Capability.TASKS in able and client and client.entity:
        people = Employee.objects.filter(pk__in=[key for key, row in wanting.mapping.items() if row.crm_user])
        ways[Kind.TASK] = partial(task_form, people, author, name("task"))
    under_way = {kind for kind, row in writes.items() if row.open}
    return [Offer(kind, build, writes.get(kind)) for kind, build in ways.items() if kind not in under_way]


def _is_whole(value: str) -> bool:
    """Whoever may not see numbers would write stars over them."""
    return phones.in_text(value) == value


def contact_form(
    fields: Sequence[ContactField],
    values: Mapping[str, str] | None,
    name: str,
    data: QueryDict | dict[str, str] | None = None,
) -> forms.Form:
    """`values`: those of a record to be changed; the form carries them, so that it is known what the person saw.
    `data`: what was sent, or typed before."""
    form = forms.Form(_bound(values, data), initial=dict(values or {}), auto_id=name)
    for each in fields:
        form.fields[each.name] = forms.CharField(
            label=each.title,
            required=each.name == NAME,
            max_length=LONGEST_TEXT if each.long else LONGEST,
            show_hidden_initial=values is not None,
            widget=_widget(each),
        )
    return form


def _widget(field: ContactField) -> forms.Widget:
    """Whether an e-mail is one the browser and the CRM judge: what they refuse is still in the form."""
    if field.long:
        return forms.Textarea(attrs={"rows": 3})
    return forms.EmailInput() if field.name == "email" else forms.TextInput()


def _bound(values: Mapping[str, str] | None, data: QueryDict | dict[str, str] | None) -> Any:
    """What was typed before stands beside what the record has now."""
    if data is None or isinstance(data, QueryDict):
        return data
    return {f"initial-{name}": value for name, value in (values or {}).items()} | {**(values or {}), **data}


def task_form(people: Any, author: User, name: str, data: QueryDict | dict[str, str] | None = None) -> TaskForm:
    own = next((person for person in people if person.user_id == author.pk), None)
    initial = {"due_at": tomorrow(), "employee": own.uuid if own else None}
    return TaskForm(people, data, initial=initial, auto_id=name)
