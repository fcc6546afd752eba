"""CRM: leads, items, contacts, duplicates, sources, activities, comments and tasks.

Entities are kept under the classic names (`ASSIGNED_BY_ID`); `crm.item.*` speaks camelCase (`assignedById`) and
numbers where the classic methods speak strings.
"""

from __future__ import annotations

import re
from typing import Any

from .listing import list_page
from .methods import Context, Handler, mapping, missing, pick, rest
from .portal import COMPANY, CONTACT, DEAL, LEAD, TYPE_IDS, Entity, Portal
from .wire import ApiError, Page, Params, as_list, iso, phone_key, php_array, to_int, words

FIELDS = words(
    "TITLE NAME LAST_NAME SECOND_NAME POST STATUS_ID STAGE_ID SOURCE_ID SOURCE_DESCRIPTION ASSIGNED_BY_ID OPENED "
    "COMMENTS UTM_SOURCE UTM_MEDIUM UTM_CAMPAIGN UTM_CONTENT UTM_TERM ORIGINATOR_ID ORIGIN_ID CONTACT_ID CONTACT_IDS "
    "COMPANY_ID CATEGORY_ID OPPORTUNITY CURRENCY_ID"
)
NUMBERS = frozenset(words("ASSIGNED_BY_ID CONTACT_ID COMPANY_ID CATEGORY_ID"))
SOURCES = {"CALL": "Call", "CALLBACK": "Callback", "WEB": "Website", "ADVERTISING": "Advertising", "OTHER": "Other"}


def camel(name: str) -> str:
    head, *rest_of = name.lower().split("_")
    return head + "".join(part.capitalize() for part in rest_of)


FROM_CAMEL = {camel(name): name for name in FIELDS}


def refused(text: str, what: str, status: int = 400) -> ApiError:
    """The classic methods often give an empty error code."""
    return ApiError("", text, status, what=what)


# --- classic methods


def _classic(portal: Portal, entity: Entity) -> dict[str, Any]:
    """All values are strings, phones are a list with ids of their own."""
    row: dict[str, Any] = {"ID": str(entity["ID"])}
    for name in FIELDS:
        value = entity.get(name)
        row[name] = value if value is None or isinstance(value, list) else str(value)
    row["DATE_CREATE"] = iso(int(entity["DATE_CREATE"]), portal.config.utc_offset)
    phones = entity.get("PHONE") or []
    row["EMAIL"] = [{**each, "TYPE_ID": "EMAIL"} for each in entity.get("EMAIL") or []]
    row["HAS_PHONE"] = "Y" if phones else "N"
    row["PHONE"] = [
        {"ID": f"{entity['ID']}{i}", "VALUE_TYPE": p.get("VALUE_TYPE", "WORK"), "VALUE": p["VALUE"], "TYPE_ID": "PHONE"}
        for i, p in enumerate(phones, 1)
    ]
    return row


def _select(row: dict[str, Any], names: list[Any]) -> dict[str, Any]:
    """Phones come only when they are asked for by name."""
    if not names or "*" in names:
        return {name: value for name, value in row.items() if name != "PHONE" or "PHONE" in names}
    return {name: row[name] for name in ["ID", *names] if name in row}


def _stored(fields: Params) -> Entity:
    """The known fields of a classic `fields`; unknown ones are ignored silently."""
    known: Entity = {name: fields[name] for name in FIELDS if name in fields}
    known |= {name: to_int(known[name]) for name in NUMBERS & known.keys()}
    if "EMAIL" in fields:
        known["EMAIL"] = [mapping(email) for email in as_list(fields["EMAIL"])]
    if "PHONE" in fields:
        phones = (mapping(phone) for phone in as_list(fields["PHONE"]))
        known["PHONE"] = [
            {"VALUE": str(phone.get("VALUE")), "VALUE_TYPE": str(phone.get("VALUE_TYPE") or "WORK")}
            for phone in phones
            if phone.get("VALUE")
        ]
    return known


def create(portal: Portal, kind: str, fields: Entity) -> Entity:
    """In the simple mode a new lead becomes a deal (and a contact) at once, and cannot be read as a lead."""
    if kind != LEAD or portal.config.crm_mode == 1:
        return portal.create_entity(kind, fields)
    contact_id = fields.get("CONTACT_ID")
    if not contact_id and fields.get("PHONE"):
        person = {"NAME": fields.get("NAME") or fields.get("TITLE"), "PHONE": fields["PHONE"]}
        contact_id = portal.create_entity(CONTACT, {**fields, **person})["ID"]
    portal.create_entity(DEAL, {**fields, "CONTACT_ID": contact_id, "STAGE_ID": "NEW", "PHONE": []})
    return {"ID": portal.next_id(LEAD)}


def update(portal: Portal, kind: str, entity: Entity, fields: Entity) -> None:
    if "EMAIL" in fields:
        fields["EMAIL"] = _emails(portal, entity.get("EMAIL") or [], fields["EMAIL"])
    entity.update(fields)
    if "PHONE" in fields:
        portal.index_phones(kind, entity)
    portal.version += 1


def _emails(portal: Portal, before: list[dict[str, str]], said: list[Params]) -> list[dict[str, str]]:
    """A row with an id is changed (an empty value deletes it), one without is added; the others stay."""
    rows = {each["ID"]: each for each in before}
    for each in said:
        value, number = str(each.get("VALUE") or ""), str(each.get("ID") or "")
        if value and "@" not in value:
            raise ApiError("ERROR_CORE", "The field Work e-mail contains an invalid address", 400, what="bad_email")
        if not value:
            rows.pop(number, None)
            continue
        number = number if number in rows else str(portal.next_id("email"))
        rows[number] = {"ID": number, "VALUE": value, "VALUE_TYPE": str(each.get("VALUE_TYPE") or "WORK")}
    return list(rows.values())


def _list(kind: str) -> Handler:
    def handler(ctx: Context, params: Params) -> Page:
        rows = [_classic(ctx.portal, entity) for entity in ctx.portal.entities[kind].values()]
        order = mapping(pick(params, "order")) or {"ID": "ASC"}
        page = list_page(rows, mapping(pick(params, "filter")), order, to_int(pick(params, "start")))
        names = as_list(pick(params, "select"))
        page.result = [_select(row, names) for row in page.result]
        return page

    return handler


def _get(kind: str) -> Handler:
    def handler(ctx: Context, params: Params) -> Any:
        entity = ctx.portal.entities[kind].get(to_int(pick(params, "id")))
        if entity is None:
            raise refused("Not found", "crm_not_found")
        return _classic(ctx.portal, entity)

    return handler


def _update(kind: str) -> Handler:
    def handler(ctx: Context, params: Params) -> Any:
        entity = ctx.portal.entities[kind].get(to_int(pick(params, "id")))
        if entity is None:
            raise refused(f"{kind.capitalize()} is not found", "crm_not_found")
        update(ctx.portal, kind, entity, _stored(mapping(pick(params, "fields"))))
        return True

    return handler


for _name, _kind in (("lead", LEAD), ("contact", CONTACT), ("company", COMPANY), ("deal", DEAL)):
    rest(f"crm.{_name}.list", "crm")(_list(_kind))
    if _kind != DEAL:
        rest(f"crm.{_name}.get", "crm")(_get(_kind))
        rest(f"crm.{_name}.update", "crm")(_update(_kind))


@rest("crm.contact.add", "crm")
def contact_add(ctx: Context, params: Params) -> Any:
    fields = _stored(mapping(pick(params, "fields")))
    fields["EMAIL"] = _emails(ctx.portal, [], fields.get("EMAIL") or [])
    return create(ctx.portal, CONTACT, fields)["ID"]


@rest("crm.lead.add", "crm")
def lead_add(ctx: Context, params: Params) -> Any:
    return create(ctx.portal, LEAD, _stored(mapping(pick(params, "fields"))))["ID"]


# --- universal methods


def _kind_of(params: Params) -> str:
    kind = TYPE_IDS.get(to_int(params.get("entityTypeId")))
    if kind is None:
        raise ApiError("100", "Invalid value of entityTypeId", 400, what="bad_entity_type")
    return kind


def _item(portal: Portal, entity: Entity, *, phones: bool = False) -> dict[str, Any]:
    item: dict[str, Any] = {"id": entity["ID"]}
    item |= {short: entity.get(name) for short, name in FROM_CAMEL.items()}
    item["createdTime"] = iso(int(entity["DATE_CREATE"]), portal.config.utc_offset)
    if phones:
        item["fm"] = [
            {"typeId": "PHONE", "valueType": p.get("VALUE_TYPE", "WORK"), "value": p["VALUE"]}
            for p in entity.get("PHONE") or []
        ]
    return item


def _from_item(fields: Params) -> Entity:
    stored = _stored({FROM_CAMEL[name]: value for name, value in fields.items() if name in FROM_CAMEL})
    phones = [each for each in as_list(fields.get("fm")) if mapping(each).get("typeId") == "PHONE"]
    if phones:
        stored["PHONE"] = [{"VALUE": str(p.get("value", "")), "VALUE_TYPE": p.get("valueType", "WORK")} for p in phones]
    return stored


def _found_item(ctx: Context, params: Params) -> tuple[str, Entity]:
    kind = _kind_of(params)
    entity = ctx.portal.entities[kind].get(to_int(params.get("id")))
    if entity is None:
        raise ApiError("NOT_FOUND", "Element not found", 400, what="crm_not_found")
    return kind, entity


@rest("crm.item.add", "crm")
def item_add(ctx: Context, params: Params) -> Any:
    fields = _from_item(mapping(params.get("fields")))
    entity = create(ctx.portal, _kind_of(params), fields)
    return {"item": _item(ctx.portal, {"DATE_CREATE": ctx.now, **fields, **entity})}


@rest("crm.item.update", "crm")
def item_update(ctx: Context, params: Params) -> Any:
    kind, entity = _found_item(ctx, params)
    update(ctx.portal, kind, entity, _from_item(mapping(params.get("fields"))))
    return {"item": _item(ctx.portal, entity)}


@rest("crm.item.delete", "crm")
def item_delete(ctx: Context, params: Params) -> Any:
    """What is bound to it goes with it."""
    kind, entity = _found_item(ctx, params)
    portal, number = ctx.portal, int(entity["ID"])
    del portal.entities[kind][number]
    for known in portal.phones.values():
        known[kind] = [each for each in known.get(kind, ()) if each != number]
    portal.version += 1
    return []


@rest("crm.item.get", "crm")
def item_get(ctx: Context, params: Params) -> Any:
    return {"item": _item(ctx.portal, _found_item(ctx, params)[1])}


@rest("crm.item.list", "crm")
def item_list(ctx: Context, params: Params) -> Page:
    """`fm` is there only with `select: ["*"]`."""
    names = as_list(params.get("select"))
    items = [
        _item(ctx.portal, entity, phones="*" in names) for entity in ctx.portal.entities[_kind_of(params)].values()
    ]
    order = {camel_id(name): value for name, value in mapping(params.get("order")).items()} or {"id": "ASC"}
    condition = {camel_id(name): value for name, value in mapping(params.get("filter")).items()}
    page = list_page(items, condition, order, to_int(params.get("start")))
    if names and "*" not in names:
        page.result = [{name: item[name] for name in ["id", *names] if name in item} for item in page.result]
    page.result = {"items": page.result}
    return page


def camel_id(name: str) -> str:
    """`ID` and `>ID` are taken for `id` (other clients page so)."""
    return re.sub(r"^(\W*)ID$", r"\1id", name)


# --- search, dictionaries


@rest("crm.duplicate.findbycomm", "crm")
def find_by_comm(ctx: Context, params: Params) -> Any:
    """Up to 20 values; nothing found is `[]`; 20 or more hits of one type suppress the later types."""
    values = as_list(pick(params, "values"))
    if str(pick(params, "type") or "").upper() != "PHONE" or not values:
        raise refused("Parameters type and values are required", "missing_param")
    if len(values) > 20:
        raise refused("Too many values", "too_many_values")
    wanted = str(pick(params, "entity_type") or "").upper()
    answer: dict[str, Any] = {}
    for kind in (LEAD, CONTACT, COMPANY) if not wanted else (wanted,):
        found: list[int] = []
        for key in dict.fromkeys(phone_key(str(value)) for value in values):
            found += [n for n in ctx.portal.phones.get(key, {}).get(kind, ()) if n not in found]
        if found:
            answer[kind] = found
        if len(found) >= 20:
            break
    return php_array(answer)


@rest("crm.settings.mode.get", "crm")
def settings_mode(ctx: Context, params: Params) -> Any:
    return ctx.portal.config.crm_mode


@rest("crm.status.list", "crm")
def status_list(ctx: Context, params: Params) -> Page:
    rows = [
        {"ID": str(100 + i), "ENTITY_ID": "SOURCE", "STATUS_ID": code, "NAME": name, "SORT": str(10 * i)}
        for i, (code, name) in enumerate(SOURCES.items(), 1)
    ]
    order = mapping(pick(params, "order")) or {"SORT": "ASC"}
    return list_page(rows, mapping(pick(params, "filter")), order, to_int(pick(params, "start")))


# --- activities, comments, tasks


@rest("crm.activity.update", "crm")
def activity_update(ctx: Context, params: Params) -> Any:
    activity = ctx.portal.activities.get(to_int(pick(params, "id")))
    if activity is None:
        raise refused("Activity is not found", "crm_not_found")
    fields = mapping(pick(params, "fields"))
    activity.update({name: to_int(value) if name == "RESPONSIBLE_ID" else value for name, value in fields.items()})
    ctx.portal.version += 1
    return True


@rest("crm.activity.delete", "crm")
def activity_delete(ctx: Context, params: Params) -> Any:
    if ctx.portal.activities.pop(to_int(pick(params, "id")), None) is None:
        raise refused("Activity is not found", "crm_not_found")
    ctx.portal.version += 1
    return True


@rest("crm.activity.todo.add", "crm")
def todo_add(ctx: Context, params: Params) -> Any:
    for name in ("ownerTypeId", "ownerId", "deadline"):
        if not params.get(name):
            raise missing(name, "100")
    kind = TYPE_IDS.get(to_int(params["ownerTypeId"]), "")
    if to_int(params["ownerId"]) not in ctx.portal.entities.get(kind, {}):
        raise ApiError("NOT_FOUND", "Owner not found", 400, what="crm_not_found")
    todo = {"id": ctx.portal.next_id("todo"), **params}
    ctx.portal.todos.append(todo)
    ctx.portal.version += 1
    return {"id": todo["id"]}


@rest("crm.timeline.comment.add", "crm")
def comment_add(ctx: Context, params: Params) -> Any:
    """`fields` must be lower case here."""
    fields = mapping(params.get("fields"))
    for name in ("ENTITY_ID", "ENTITY_TYPE", "COMMENT"):
        if not fields.get(name):
            raise missing(name)
    kind = str(fields["ENTITY_TYPE"])
    if kind not in ("lead", "deal", "contact", "company"):
        raise refused("Wrong ENTITY_TYPE", "bad_entity_type")
    if to_int(fields["ENTITY_ID"]) not in ctx.portal.entities[kind.upper()]:
        raise refused("Not found", "crm_not_found")
    number = ctx.portal.next_id("comment")
    ctx.portal.comments.append({"id": number, **fields})
    ctx.portal.version += 1
    return number


@rest("tasks.task.add", "task")
def task_add(ctx: Context, params: Params) -> Any:
    fields = mapping(params.get("fields"))
    for name in ("TITLE", "RESPONSIBLE_ID"):
        if not fields.get(name):
            raise missing(name)
    number = str(ctx.portal.next_id("task"))
    ctx.portal.tasks.append({"id": number, **fields})
    ctx.portal.version += 1
    answer = {"id": number, "title": fields["TITLE"], "responsibleId": str(fields["RESPONSIBLE_ID"]), "status": "2"}
    return {"task": answer}
