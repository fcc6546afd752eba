"""What amoCRM sends us, parsed at the edge.

PHP is behind it: an empty map comes as `[]`, numbers come as strings here and there (`duration` of an entry among the
unsorted ones), and what is not there is null. Nothing here fails: what cannot be read is empty.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from crm_adapters.values import M, Mapping, Number, Rows, Text, Wire, mapping, parse, rows


def _truth(value: Any) -> bool:
    return str(value).strip().lower() in ("1", "true", "yes")


Truth = Annotated[bool, BeforeValidator(_truth)]


def embedded(model: type[M], body: Any, name: str) -> list[M]:
    """The list `name` of an answer, or of an entity."""
    return rows(model, mapping(mapping(body).get("_embedded")).get(name))


class Problem(Wire):
    """`application/problem+json`, and the errors of the older methods."""

    title: Text = ""
    detail: Text = ""
    hint: Text = ""
    errors: Rows = []
    validation: Rows = Field([], alias="validation-errors")


class Invalid(Wire):
    """What is wrong with one object of a request."""

    request_id: Text = ""
    errors: Rows = []


class Fault(Wire):
    code: Text = ""
    path: Text = ""
    detail: Text = ""
    title: Text = ""
    request_id: Text = ""


class Tokens(Wire):
    access_token: Text = ""
    refresh_token: Text = ""


class Account(Wire):
    """`/api/v4/account`, and what the servers of accounts say of a moved one."""

    id: Text = ""
    name: Text = ""
    domain: Text = ""


class Row(Wire):
    """What was made of an object that we sent. `request_id` is ours; of deals with contacts it is a list."""

    id: Number = 0
    uid: Text = ""
    request_id: Text = ""
    entity_id: Number = 0
    entity_type: Text = ""
    contact_id: Number = 0
    embedded: Mapping = Field({}, alias="_embedded")


class Value(Wire):
    value: Text = ""


class FieldValues(Wire):
    """A field of an entity: `field_code` in answers, `code` in webhooks."""

    field_code: Text = ""
    code: Text = ""
    values: Rows = []


class Client(Wire):
    """A contact or a company."""

    id: Number = 0
    name: Text = ""
    responsible_user_id: Number = 0
    updated_at: Number = 0
    custom_fields_values: Rows = []
    embedded: Mapping = Field({}, alias="_embedded")

    @property
    def phones(self) -> list[str]:
        fields = rows(FieldValues, self.custom_fields_values)
        return [each.value for one in fields if one.field_code == "PHONE" for each in rows(Value, one.values)]

    @property
    def leads(self) -> list[int]:
        return [row.id for row in rows(Row, self.embedded.get("leads")) if row.id]

    @property
    def company(self) -> int:
        return next((row.id for row in rows(Row, self.embedded.get("companies")) if row.id), 0)


class Changed(Wire):
    """A contact in a webhook."""

    id: Text = ""
    name: Text = ""
    type: Text = ""
    company_name: Text = ""
    responsible_user_id: Text = ""
    custom_fields: Rows = []

    @property
    def phones(self) -> list[str]:
        fields = rows(FieldValues, self.custom_fields)
        return [each.value for one in fields if one.code == "PHONE" for each in rows(Value, one.values)]


class Lead(Wire):
    id: Number = 0
    name: Text = ""
    status_id: Number = 0
    created_at: Number = 0
    is_deleted: Truth = False


class CallParams(Wire):
    uniq: Text = ""
    link: Text = ""
    phone: Text = ""
    duration: Number = 0
    source: Text = ""


class Note(Wire):
    id: Number = 0
    note_type: Text = ""
    created_at: Number = 0
    entity_id: Number = 0
    params: Mapping = {}

    @property
    def call(self) -> CallParams:
        return parse(CallParams, self.params)


class SipMetadata(Wire):
    uniq: Text = ""
    phone: Text = ""
    called_at: Number = 0
    service_code: Text = ""


class Unsorted(Wire):
    uid: Text = ""
    metadata: Mapping = {}
    embedded: Mapping = Field({}, alias="_embedded")

    @property
    def sip(self) -> SipMetadata:
        return parse(SipMetadata, self.metadata)

    def first(self, name: str) -> int:
        """Id of its first deal or contact."""
        return next((row.id for row in rows(Row, self.embedded.get(name)) if row.id), 0)


class Task(Wire):
    id: Number = 0
    entity_id: Number = 0
    complete_till: Number = 0
    text: Text = ""


class Status(Wire):
    id: Text = ""
    name: Text = ""
    type: Number = 0


class Pipeline(Wire):
    id: Text = ""
    name: Text = ""
    is_archive: Truth = False
    embedded: Mapping = Field({}, alias="_embedded")

    @property
    def statuses(self) -> list[Status]:
        return rows(Status, self.embedded.get("statuses"))


class TaskType(Wire):
    id: Text = ""
    name: Text = ""


class User(Wire):
    id: Text = ""
    name: Text = ""
    email: Text = ""
    rights: Mapping = {}

    @property
    def active(self) -> bool:
        return _truth(self.rights.get("is_active", True))
