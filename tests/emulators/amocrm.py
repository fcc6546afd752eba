"""A strict emulator of an amoCRM account, as far as telephony goes.

It refuses what amoCRM refuses (an unknown caller of a call, fields that no method has, a refresh token used twice, more
than seven requests a second), reads in the strictest way what the documents leave open (`uniq` keeps nothing from being
written twice; errors of calls do not name the call), and notes in `violations` what a careful client never does.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import json
import time
import uuid
import zlib
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

from .crm import ANOTHER, PEOPLE, Crm, ToDo, Written
from .served import Answer, Asked, Refusal, Told, Wire, api

ACCOUNT = 31000001
CLIENT_ID = "11111111-2222-4333-8444-555555555555"
DEFAULT = "9000009"
PIPELINE, FIRST, SECOND, WON = 3166396, 50000001, 50000002, 142
PER_SECOND = 7
MAX_EXTENSION = 9999
KINDS = {"contacts": "contact", "companies": "company", "leads": "lead"}
PROBLEM = "https://httpstatus.es/"
BANNED = b"<html>\r\n<head><title>403 Forbidden</title></head>\r\n<body><center>nginx</center></body>\r\n</html>\r\n"

_CALL = {"direction", "phone", "duration", "source"}
_CALL_MORE = {"uniq", "link", "call_result", "call_status", "call_responsible", "responsible_user_id", "created_by"}
_TIMES = {"created_at", "request_id"}
_PARAMS = {"uniq", "duration", "source", "link", "phone"}
_PARAMS_MORE = {"call_result", "call_status", "call_responsible"}
_NOTE = {"entity_id", "note_type", "params"}
_SIP = {"is_call_event_needed", "uniq", "duration", "service_code", "link", "phone", "called_at", "from"}
_UNSORTED = {"request_id", "source_name", "source_uid", "metadata", "_embedded"}
_LEAD_MORE = {"price", "status_id", "pipeline_id", "responsible_user_id", "custom_fields_values", "request_id"}
_TASK = {"text", "complete_till", "entity_type", "entity_id"}
_CONTACT_MORE = {"responsible_user_id", "custom_fields_values", "request_id"}
_CODES = {"contacts": {"PHONE", "EMAIL", "POSITION"}, "companies": {"PHONE", "EMAIL", "WEB", "ADDRESS"}}
_SEVERAL = {"PHONE", "EMAIL"}
_TRACKING = {"UTM_SOURCE", "UTM_MEDIUM", "UTM_CAMPAIGN", "UTM_CONTENT", "UTM_TERM"}
_HOOKS = {"add_contact", "update_contact", "delete_contact", "responsible_contact"}


def problem(status: int, detail: str, **more: Any) -> dict[str, Any]:
    return {"title": "Bad Request", "type": f"{PROBLEM}{status}", "status": status, "detail": detail, **more}


def jwt(claims: Mapping[str, Any], key: str, alg: str = "HS256") -> str:
    """A token as amoCRM signs it for its widgets."""
    parts = [_coded({"typ": "JWT", "alg": alg}), _coded(claims)]
    signature = hmac.digest(key.encode(), ".".join(parts).encode(), "sha256")
    return ".".join([*parts, base64.urlsafe_b64encode(signature).decode().rstrip("=")])


def _coded(data: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(data, separators=(",", ":")).encode()).decode().rstrip("=")


@dataclass(slots=True)
class Client:
    """A contact or company. One that is `hidden` waits among the unsorted entries and cannot be found."""

    id: int
    name: str
    phones: list[str]
    manager: str
    kind: str = "contacts"
    leads: list[int] = field(default_factory=list)
    hidden: bool = False
    updated_at: int = 0
    fields: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Values of its other fields, by code."""


class Emulator(Crm):
    """One account with its users, clients, deals, notes, unsorted entries and tasks."""

    users = dict(zip(PEOPLE, ("9000001", "9000002", "9000003"), strict=True))
    default = DEFAULT
    clicks = True
    keys = frozenset({"access_token", "refresh_token"})

    def __init__(self, name: str = "demo", latency: float = 0.0):
        super().__init__(name, latency)
        self.account = ACCOUNT + zlib.crc32(name.encode()) % 1000
        self.client_secret = f"amo-secret-{name}"
        self.clients: dict[int, Client] = {}
        self.leads: dict[int, dict[str, Any]] = {}
        self.notes: list[dict[str, Any]] = []
        self.waiting: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.hooks: dict[str, list[str]] = {}
        self.notices: list[dict[str, Any]] = []
        self.requests: list[Asked] = []
        self.limited, self.banned, self.moved_to = False, False, ""
        self.tracking = set(_TRACKING)
        self.notes_on_unsorted = self.takes_hooks = True
        self._ids = itertools.count(11070001)
        self._tokens = itertools.count(1)
        self._times: deque[float] = deque()
        self._refresh: str = ""
        self._access: str = ""

    # --- Keys

    @property
    def secrets(self) -> dict[str, str]:
        if not self._access:
            self._renew()
        return {
            "domain": self.url,
            "client_id": CLIENT_ID,
            "client_secret": self.client_secret,
            "access_token": self._access,
            "refresh_token": self._refresh,
            "account_id": str(self.account),
        }

    def _renew(self) -> dict[str, Any]:
        number = next(self._tokens)
        claims = {"account_id": self.account, "api_domain": self.url, "jti": f"access-{number}"}
        self._access, self._refresh = jwt(claims, "amo"), f"def50200fictional-{self.name}-{number}"
        pair = {"access_token": self._access, "refresh_token": self._refresh}
        return {"token_type": "Bearer", "expires_in": 86400, **pair}

    def expire(self) -> None:
        self._access = f"{self._access or self.secrets['access_token']}-over"

    def trust(self, asked: Asked) -> None:
        self.requests.append(asked)
        self._count()
        if not asked.path.startswith("/oauth2/") and asked.headers.get("authorization") != f"Bearer {self._access}":
            raise Refusal(401, problem(401, "Unauthorized", title="Unauthorized"))

    def _count(self) -> None:
        if self.banned:
            raise Refusal(403, BANNED, violation="a request although this address is banned")
        now = time.monotonic()
        while self._times and now - self._times[0] >= 1.0:
            self._times.popleft()
        self._times.append(now)
        if self.limited and len(self._times) > PER_SECOND:
            raise Refusal(429, b"<html>429</html>", violation="more than seven requests in a second")

    @api("POST", "/oauth2/access_token")
    def _token(self, asked: Asked) -> Any:
        said = asked.json
        if (said.get("client_id"), said.get("client_secret")) != (CLIENT_ID, self.client_secret):
            raise Refusal(401, {**problem(401, "Авторизация клиента не прошла"), "title": "Некорректный клиент"})
        if not str(said.get("redirect_uri", "")).endswith("/oauth/amocrm/"):
            raise Refusal(401, {**problem(401, "Авторизация клиента не прошла"), "title": "Некорректный клиент"})
        good = {
            "authorization_code": ("code", "def502fictional-code"),
            "refresh_token": ("refresh_token", self._refresh),
        }
        name, value = good.get(said.get("grant_type"), ("", ""))
        if self.moved_to or not name or said.get(name) != value:
            words = "В запросе отсутствует ряд параметров или параметры невалидны"
            raise Refusal(
                401, {**problem(401, words), "title": "Некорректный запрос", "hint": "Token has been revoked"}
            )
        return self._renew()

    @api("GET", "/oauth2/account/current/subdomain")
    def _subdomain(self, asked: Asked) -> Any:
        if asked.headers.get("x-refresh-token") != self._refresh:
            raise Refusal(401, problem(401, "Unauthorized"))
        domain = self.moved_to or self.url
        return {"id": self.account, "subdomain": "moved", "domain": domain, "top_level_domain": "ru"}

    # --- What the contract of all CRMs asks

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "write_to": "auto",
            "notify_incoming": True,
            "forward_to_personal_manager": True,
            "unknown_incoming": "lead",
            "unknown_incoming_when": ["answered", "missed"],
            "unsorted_once": True,
            "default_responsible_incoming": DEFAULT,
            "assign_incoming_to": "first",
            "assign_missed_to": "default",
            "task_minutes": 60,
            "unknown_outgoing": "lead",
            "unknown_outgoing_when": ["answered", "missed"],
            "default_responsible_outgoing": DEFAULT,
            "lead_name": "Call {phone}",
            "utm_tags": ["utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"],
        }

    def calls(self, phone: str) -> Sequence[Written]:
        made = [(note["params"], note["note_type"] == "call_in", note["created_by"]) for note in self.notes]
        made += [({**entry["metadata"], "call_status": None}, True, "") for entry in self.waiting]
        return [_written(*each) for each in made if each[0]["phone"] == phone]

    def screens(self, phone: str) -> set[str]:
        shown = [notice for notice in self.notices if notice["phone_number"] == phone]
        return {str(user) for notice in shown for user in notice["users"]}

    def contact(self, phone: str) -> Mapping[str, str]:
        row = self._of(phone)
        told = {"email": "EMAIL", "position": "POSITION"}
        firsts = {name: next(iter(row.fields.get(code, ())), {}) for name, code in told.items()}
        values = {name: str(first.get("value", "")) for name, first in firsts.items()}
        return {"name": row.name, **values, "responsible": row.manager}

    def tasks_of(self, phone: str) -> Sequence[ToDo]:
        own = [task for task in self.tasks if task["entity_id"] == self._of(phone).id]
        return [
            ToDo(
                task["text"],
                datetime.fromtimestamp(task["complete_till"], UTC),
                str(task.get("responsible_user_id", "")),
            )
            for task in own
        ]

    def _of(self, phone: str) -> Client:
        (found,) = (row for row in self._visible() if any(_same(phone, each) for each in row.phones))
        return found

    def write_for_another(self, phone: str, direction: str, seconds: int, began: datetime) -> None:
        where = self._where(phone)
        assert where is not None
        params = {
            "uniq": f"other-{next(self._ids)}",
            "phone": phone,
            "duration": seconds,
            "source": ANOTHER,
            "link": "",
        }
        kind = "call_out" if direction == "out" else "call_in"
        self._note(*where, kind, {**params, "call_status": 4}, "", int(began.timestamp()))

    def know(self, phone: str, name: str, manager: str) -> None:
        self.client(phone, name, manager)

    def client(self, phone: str, name: str = "Client", manager: str = "9000001", **more: Any) -> Client:
        made = Client(next(self._ids), name, [phone], manager, updated_at=int(time.time()), **more)
        self.clients[made.id] = made
        return made

    def deal(self, client: Client, *, status: int = FIRST, created_at: int = 1767000000) -> int:
        number = next(self._ids)
        self.leads[number] = {"id": number, "name": "Deal", "status_id": status, "created_at": created_at}
        client.leads.append(number)
        return number

    def accept(self, entry: Mapping[str, Any]) -> None:
        """Somebody accepts an unsorted entry: its contact is there from now on, with the call."""
        self.waiting = [each for each in self.waiting if each["uid"] != entry["uid"]]
        contact = self.clients[entry["_embedded"]["contacts"][0]["id"]]
        contact.hidden = False
        params = {name: entry["metadata"][name] for name in ("uniq", "duration", "link", "phone")}
        self._note("contacts", contact.id, "call_in", {**params, "source": entry["source_name"]})

    def click(self, extension: str, phone: str) -> None:
        self.tell(self.asked_by_the_widget(extension, phone))

    def asked_by_the_widget(self, extension: str, phone: str, **changes: Any) -> Wire:
        """As the widget asks: with a token for this one request."""
        now, ours = int(time.time()), urlsplit(self.handler_url)
        claims = {
            "iss": self.url,
            "aud": f"{ours.scheme}://{ours.hostname}",
            "jti": str(uuid.uuid4()),
            "iat": now,
            "nbf": now,
            "exp": now + 900,
            "account_id": self.account,
            "user_id": int(self.users[extension]),
            "client_uuid": CLIENT_ID,
            "subdomain": "example",
            "is_admin": False,
            **changes,
        }
        headers = {
            "X-Auth-Token": jwt(claims, self.client_secret),
            "Origin": self.url,
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        }
        return Wire(urlencode({"call_to": phone}).encode(), "click-to-call", headers=headers)

    def tell_of(self, action: str, client: Client) -> Told:
        """A webhook of a changed contact, to the address that asked for it."""
        prefix = f"contacts[{action}][0]"
        fields: dict[str, Any] = {
            f"{prefix}[id]": client.id,
            f"{prefix}[name]": client.name,
            f"{prefix}[responsible_user_id]": client.manager,
            f"{prefix}[type]": KINDS[client.kind],
            f"{prefix}[custom_fields][0][id]": 111111,
            f"{prefix}[custom_fields][0][name]": "Телефон",
            f"{prefix}[custom_fields][0][code]": "PHONE",
        }
        for place, phone in enumerate(client.phones):
            fields[f"{prefix}[custom_fields][0][values][{place}][value]"] = phone
            fields[f"{prefix}[custom_fields][0][values][{place}][enum]"] = 222222
        destination = next(iter(self.hooks), self.handler_url)
        path = destination.removeprefix(self.handler_url)
        return self.tell(Wire(urlencode({**fields, "account[id]": self.account}).encode(), path))

    # --- The account

    @api("GET", "/api/v4/account")
    def _account(self, asked: Asked) -> Any:
        types = [{"id": 1, "name": "Связаться"}, {"id": 2, "name": "Встреча"}]
        with_types = {"_embedded": {"task_types": types}} if asked.query.get("with") == "task_types" else {}
        return {
            "id": self.account,
            "name": "Test account",
            "subdomain": "example",
            "current_user_id": 9000001,
            **with_types,
        }

    @api("GET", "/api/v4/users")
    def _users(self, asked: Asked) -> Any:
        rows = [
            {"id": int(user), "name": f"Employee {extension}", "email": f"{extension}@example.com", "rights": {}}
            for extension, user in {**self.users, "default": DEFAULT}.items()
        ]
        return _listed(asked, "users", rows)

    @api("GET", "/api/v4/leads/pipelines")
    def _pipelines(self, asked: Asked) -> Any:
        statuses = [
            {"id": 50000000, "name": "Неразобранное", "type": 1},
            {"id": FIRST, "name": "Первичный контакт", "type": 0},
            {"id": SECOND, "name": "Переговоры", "type": 0},
            {"id": WON, "name": "Успешно реализовано", "type": 0},
            {"id": 143, "name": "Закрыто и не реализовано", "type": 0},
        ]
        row = {"id": PIPELINE, "name": "Воронка", "is_main": True, "is_unsorted_on": True, "is_archive": False}
        return {"_total_items": 1, "_embedded": {"pipelines": [{**row, "_embedded": {"statuses": statuses}}]}}

    @api("POST", "/api/v4/webhooks")
    def _hook(self, asked: Asked) -> Any:
        said = asked.json
        if not self.takes_hooks:
            raise Refusal(403, problem(403, "webhooks are not part of the plan", title="Forbidden"))
        if not isinstance(said, dict) or set(said) != {"destination", "settings"} or set(said["settings"]) - _HOOKS:
            raise Refusal(400, problem(400, "settings"), violation=f"a webhook amoCRM does not know: {said}")
        self.hooks[said["destination"]] = said["settings"]
        return Answer(201, {"id": len(self.hooks), **said})

    @api("GET", "/api/v4/webhooks")
    def _hooks(self, asked: Asked) -> Any:
        return _listed(asked, "webhooks", [{"destination": each} for each in self.hooks])

    @api("DELETE", "/api/v4/webhooks")
    def _unhook(self, asked: Asked) -> Any:
        if self.hooks.pop(asked.json["destination"], None) is None:
            raise Refusal(404, problem(404, "no such webhook"))
        return Answer(204)

    # --- Clients and deals

    @api("GET", "/api/v4/contacts")
    def _contacts(self, asked: Asked) -> Any:
        return self._found(asked, "contacts")

    @api("GET", "/api/v4/companies")
    def _companies(self, asked: Asked) -> Any:
        return self._found(asked, "companies")

    def _found(self, asked: Asked, kind: str) -> Any:
        """By the last seven digits, in whatever field: false positives are normal."""
        wanted = _digits(asked.query["query"])[-7:]
        rows = [row for row in self.clients.values() if row.kind == kind and not row.hidden]
        found = [row for row in rows if any(wanted in _digits(each) for each in (*row.phones, row.name))]
        return _listed(asked, kind, [self._shown(row) for row in found])

    def _shown(self, row: Client) -> dict[str, Any]:
        values = [{"value": phone, "enum_code": "WORK"} for phone in row.phones]
        return {
            "id": row.id,
            "name": row.name,
            "responsible_user_id": int(row.manager),
            "updated_at": row.updated_at,
            "custom_fields_values": [
                {"field_id": 111111, "field_code": "PHONE", "values": values},
                *({"field_id": 111112, "field_code": code, "values": each} for code, each in row.fields.items()),
            ],
            "_embedded": {"tags": [], "companies": [], "leads": [{"id": each} for each in row.leads]},
        }

    @api("GET", "/api/v4/leads")
    def _leads(self, asked: Asked) -> Any:
        wanted = _values(asked, "filter[id]")
        return _listed(asked, "leads", [row for row in self.leads.values() if str(row["id"]) in wanted])

    @api("PATCH", "/api/v4/leads")
    def _patch_leads(self, asked: Asked) -> Any:
        return self._patched(asked, "leads", self.leads, {"responsible_user_id", "custom_fields_values"})

    @api("POST", "/api/v4/contacts")
    def _add_contacts(self, asked: Asked) -> Any:
        made = []
        for place, said in self._objects(asked, {"name"}, _CONTACT_MORE):
            row = Client(next(self._ids), said["name"], [], str(said.get("responsible_user_id", DEFAULT)))
            self._fill(row, said, place)
            if any(_same(phone, each) for other in self._visible() for each in other.phones for phone in row.phones):
                self.violations.append(f"a second contact with {row.phones}")
            row.updated_at = int(time.time())
            self.clients[row.id] = row
            made.append({"id": row.id, "request_id": str(said.get("request_id", place))})
        return {"_embedded": {"contacts": made}}

    @api("PATCH", "/api/v4/contacts")
    def _patch_contacts(self, asked: Asked) -> Any:
        return self._changed(asked, "contacts")

    @api("PATCH", "/api/v4/companies")
    def _patch_companies(self, asked: Asked) -> Any:
        return self._changed(asked, "companies")

    def _changed(self, asked: Asked, kind: str) -> Any:
        for place, said in self._objects(asked, {"id"}, _CONTACT_MORE | {"name"}):
            row = self.clients.get(said["id"])
            if row is None or row.kind != kind:
                raise _invalid(said, place, "id", "NotFound")
            row.name, row.manager = said.get("name", row.name), str(said.get("responsible_user_id", row.manager))
            self._fill(row, said, place)
        return {"_embedded": {kind: [{"id": said["id"]} for said in asked.json]}}

    def _fill(self, row: Client, said: Mapping[str, Any], place: int) -> None:
        """A field comes with all of its values; null takes them away."""
        for each in said.get("custom_fields_values", ()):
            code, values = each.get("field_code"), each.get("values")
            if code not in _CODES[row.kind] or values == []:
                raise _invalid(said, place, "custom_fields_values.0.field_code", "NotSupportedChoice")
            if code == "EMAIL" and any("@" not in one["value"] for one in values or ()):
                raise _invalid(said, place, "custom_fields_values.0.values.0.value", "InvalidEmail")
            if code not in _SEVERAL and (len(values or ()) > 1 or any("enum_code" in one for one in values or ())):
                raise _invalid(said, place, "custom_fields_values.0.values", "NotSupportedChoice")
            if code == "PHONE":
                row.phones = [one["value"] for one in values or ()]
            elif values:
                row.fields[code] = values
            else:
                row.fields.pop(code, None)

    def _patched(self, asked: Asked, name: str, rows: dict[int, Any], fields: Collection[str]) -> Any:
        for place, said in self._objects(asked, {"id"}, fields):
            if said["id"] not in rows:
                raise _invalid(said, place, "id", "NotFound")
            self._known_fields(said, place)
            rows[said["id"]].update(said)
        return {"_embedded": {name: [{"id": said["id"]} for said in asked.json]}}

    @api("POST", "/api/v4/leads/complex")
    def _complex(self, asked: Asked) -> Any:
        answers = []
        for place, said in self._objects(asked, {"name", "_embedded"}, _LEAD_MORE):
            self._known_fields(said, place)
            if said.get("status_id", FIRST) not in (FIRST, SECOND) or said.get("pipeline_id", PIPELINE) != PIPELINE:
                raise _invalid(said, place, "status_id", "NotSupportedChoice")
            contact = self._contact_of(said, hidden=False)
            lead = self.deal(contact, created_at=int(time.time()))
            self.leads[lead].update({name: each for name, each in said.items() if name != "_embedded"})
            named = [str(said.get("request_id", place))]
            answers.append(
                {"id": lead, "contact_id": contact.id, "company_id": None, "request_id": named, "merged": False}
            )
        return answers

    def _contact_of(self, said: Mapping[str, Any], *, hidden: bool) -> Client:
        (contact,) = said["_embedded"]["contacts"]
        (phone,) = contact["custom_fields_values"][0]["values"]
        if any(_same(phone["value"], each) for row in self._visible() for each in row.phones):
            self.violations.append(f"a second contact with {phone['value']}")
        manager = str(contact.get("responsible_user_id", DEFAULT))
        return self.client(phone["value"], contact["name"], manager, hidden=hidden)

    def _visible(self) -> list[Client]:
        return [row for row in self.clients.values() if not row.hidden]

    def _known_fields(self, said: Mapping[str, Any], place: int) -> None:
        for each in said.get("custom_fields_values", ()):
            if each.get("field_code") not in self.tracking:
                raise _invalid(said, place, "custom_fields_values.0.field_code", "NotSupportedChoice")

    # --- Calls

    @api("POST", "/api/v2/events")
    def _events(self, asked: Asked) -> Any:
        said = asked.json
        if not isinstance(said, dict) or set(said) != {"add"}:
            raise Refusal(400, problem(400, "add"), violation="events want an object with `add`")
        for event in said["add"]:
            if event.get("type") != "phone_call" or not event.get("users"):
                self.violations.append(f"a notification for everybody: {event}")
            self.notices.append(event)
        return Answer(202, {})

    @api("POST", "/api/v4/calls")
    def _calls(self, asked: Asked) -> Any:
        made, errors = [], []
        for place, said in self._objects(asked, _CALL, _CALL_MORE | _TIMES):
            if said.get("link") == "":
                self.violations.append("an empty link")
            where = self._where(said["phone"])
            if where is None:
                errors.append({"title": "Entity not found"})
                continue
            kind, entity = where
            params = {name: said[name] for name in (_PARAMS | _PARAMS_MORE) - {"link"} if name in said}
            incoming = said["direction"] == "inbound"
            self._note(
                kind,
                entity,
                "call_in" if incoming else "call_out",
                {"link": "", **params, **_link(said)},
                said.get("created_by"),
                said.get("created_at"),
            )
            named = str(said.get("request_id", place))
            made.append({"id": next(self._ids), "entity_id": entity, "entity_type": KINDS[kind], "request_id": named})
        body = {"_total_items": len(made), "errors": errors, "_embedded": {"calls": made}}
        return body if made else Answer(400, {"_total_items": 0, "errors": errors})

    def _where(self, phone: str) -> tuple[str, int] | None:
        """The only active deal, else the contact or company."""
        for kind in ("contacts", "companies"):
            for row in self._visible():
                if row.kind == kind and any(_same(phone, each) for each in row.phones):
                    active = [each for each in row.leads if self.leads[each]["status_id"] not in (WON, 143)]
                    return ("leads", active[0]) if len(active) == 1 else (kind, row.id)
        return None

    def _note(
        self,
        kind: str,
        entity: int,
        note_type: str,
        params: Mapping[str, Any],
        author: Any = "",
        made_at: int | None = None,
    ) -> int:
        number = next(self._ids)
        note = {"id": number, "kind": kind, "entity_id": entity, "note_type": note_type, "params": dict(params)}
        note |= {"created_by": str(author or ""), "created_at": made_at or int(time.time())}
        self.notes.append({**note, "updated_at": int(time.time())})
        return number

    @api("POST", "/api/v4/{kind}/notes")
    def _add_notes(self, asked: Asked) -> Any:
        kind, made = asked.parts["kind"], []
        more = {"created_by", "responsible_user_id"} | _TIMES
        for place, said in self._objects(asked, _NOTE, more):
            self._params(said, place)
            if not self._may_note(kind, said["entity_id"]):
                raise _invalid(said, place, "entity_id", "NotFound")
            number = self._note(
                kind,
                said["entity_id"],
                said["note_type"],
                said["params"],
                said.get("created_by"),
                said.get("created_at"),
            )
            named = str(said.get("request_id", place))
            made.append({"id": number, "entity_id": said["entity_id"], "request_id": named})
        return {"_embedded": {"notes": made}}

    def _may_note(self, kind: str, entity: int) -> bool:
        waits = {row["id"] for entry in self.waiting for row in entry["_embedded"]["leads"]}
        if kind == "leads":
            return entity in self.leads and (self.notes_on_unsorted or entity not in waits)
        return entity in self.clients and self.clients[entity].kind == kind

    def _params(self, said: Mapping[str, Any], place: int) -> None:
        fields = set(said["params"])
        if said["note_type"] not in ("call_in", "call_out") or _PARAMS - fields or fields - _PARAMS - _PARAMS_MORE:
            raise _invalid(said, place, "params", "FieldMissing")

    @api("PATCH", "/api/v4/{kind}/notes")
    def _patch_notes(self, asked: Asked) -> Any:
        for place, said in self._objects(asked, {"id", "note_type", "params"}, ()):
            self._params(said, place)
            note = next((each for each in self.notes if each["id"] == said["id"]), None)
            if note is None or note["kind"] != asked.parts["kind"]:
                raise _invalid(said, place, "id", "NotFound")
            if note["params"].get("link") and not said["params"]["link"]:
                self.violations.append("a link is taken away")
            note.update(params=said["params"], updated_at=int(time.time()))
        return {"_embedded": {"notes": [{"id": said["id"]} for said in asked.json]}}

    @api("GET", "/api/v4/{kind}/notes")
    def _list_notes(self, asked: Asked) -> Any:
        if asked.parts["kind"] == "customers":
            raise Refusal(400, problem(400, "customers are off"))
        types, entities = _values(asked, "filter[note_type]"), _values(asked, "filter[entity_id]")
        since = int(asked.query.get("filter[updated_at][from]", 0))
        rows = [
            note
            for note in reversed(self.notes)
            if note["kind"] == asked.parts["kind"]
            and note["updated_at"] >= since
            and (not types or note["note_type"] in types)
            and (not entities or str(note["entity_id"]) in entities)
        ]
        return _listed(asked, "notes", rows)

    # --- Unsorted entries and tasks

    @api("POST", "/api/v4/leads/unsorted/sip")
    def _unsorted(self, asked: Asked) -> Any:
        made = []
        for place, said in self._objects(asked, _UNSORTED, {"pipeline_id", "created_at"}):
            fields = set(said["metadata"])
            if _SIP - fields or fields - _SIP - {"call_responsible"}:
                raise _invalid(said, place, "metadata", "FieldMissing")
            if any(entry["metadata"]["uniq"] == said["metadata"]["uniq"] for entry in self.waiting):
                raise _invalid(said, place, "metadata.uniq", "NotUnique")
            (lead,) = said["_embedded"]["leads"]
            self._known_fields(lead, place)
            contact = self._contact_of(said, hidden=True)
            number = self.deal(contact, created_at=int(time.time()))
            self.leads[number].update(lead)
            entry = {
                **{name: said[name] for name in ("source_name", "source_uid")},
                "uid": uuid.uuid4().hex,
                "category": "sip",
                "metadata": {**said["metadata"], "duration": str(said["metadata"]["duration"])},
                "_embedded": {"contacts": [{"id": contact.id}], "leads": [{"id": number}], "companies": []},
            }
            self.waiting.append(entry)
            made.append({**entry, "request_id": str(said["request_id"])})
        return {"_total_items": len(made), "_embedded": {"unsorted": made}}

    @api("DELETE", "/api/v4/leads/unsorted/{uid}/decline")
    def _decline(self, asked: Asked) -> Any:
        """Its deal and its contact, whom nobody could find yet, go with it."""
        entry = next((each for each in self.waiting if each["uid"] == asked.parts["uid"]), None)
        if entry is None:
            raise Refusal(404, problem(404, "no such entry"))
        self.waiting.remove(entry)
        (contact,), (lead,) = entry["_embedded"]["contacts"], entry["_embedded"]["leads"]
        self.leads.pop(lead["id"], None)
        if self.clients[contact["id"]].hidden:
            del self.clients[contact["id"]]
        return {"uid": entry["uid"], "result": {}}

    @api("GET", "/api/v4/leads/unsorted")
    def _waiting(self, asked: Asked) -> Any:
        wanted = _values(asked, "filter[category]")
        return _listed(asked, "unsorted", [each for each in reversed(self.waiting) if each["category"] in wanted])

    @api("POST", "/api/v4/tasks")
    def _add_tasks(self, asked: Asked) -> Any:
        made = []
        for place, said in self._objects(asked, _TASK, {"task_type_id", "responsible_user_id", "request_id"}):
            kind, entity = said["entity_type"], said["entity_id"]
            if kind not in KINDS or entity not in (self.leads if kind == "leads" else self.clients):
                raise _invalid(said, place, "entity_id", "NotFound")
            number = next(self._ids)
            self.tasks.append({**said, "id": number})
            made.append({"id": number, "request_id": str(said.get("request_id", place))})
        return {"_embedded": {"tasks": made}}

    @api("GET", "/api/v4/tasks")
    def _list_tasks(self, asked: Asked) -> Any:
        kind, entities = asked.query.get("filter[entity_type]"), _values(asked, "filter[entity_id]")
        rows = [task for task in self.tasks if task["entity_type"] == kind and str(task["entity_id"]) in entities]
        return _listed(asked, "tasks", rows)

    # --- One record (endpoints are tried by their functions' names, and those of notes begin alike)

    @api("GET", "/api/v4/contacts/{id}")
    def _one_contact(self, asked: Asked) -> Any:
        return self._one(asked, "contacts")

    @api("GET", "/api/v4/companies/{id}")
    def _one_company(self, asked: Asked) -> Any:
        return self._one(asked, "companies")

    def _one(self, asked: Asked, kind: str) -> Any:
        row = self.clients.get(int(asked.parts["id"]))
        if row is None or row.kind != kind or row.hidden:
            return Answer(204)
        return self._shown(row)

    # --- Bodies

    def _objects(self, asked: Asked, required: Collection[str], more: Collection[str]) -> list[tuple[int, Any]]:
        """The objects of an array, which are refused altogether when one is wrong."""
        said = asked.json
        if not isinstance(said, list) or not said:
            raise Refusal(400, problem(400, "Request validation failed"), violation=f"{asked.path} wants an array")
        if len(said) > 50:
            raise Refusal(504, b"", violation=f"{len(said)} objects in one request")
        for place, each in enumerate(said):
            wrong = (set(required) - set(each)) | (set(each) - set(required) - set(more))
            if wrong:
                self.violations.append(f"{asked.path}: {sorted(wrong)}")
                raise _invalid(each, place, sorted(wrong)[0], "FieldMissing")
            for name in ("created_by", "responsible_user_id"):
                known = {*self.users.values(), DEFAULT}
                if name in each and str(each[name]) not in known:
                    raise _invalid(each, place, name, "NotSupportedChoice")
        return list(enumerate(said))


def _invalid(said: Any, place: int, path: str, code: str) -> Refusal:
    error = {"code": code, "path": path, "detail": "This value is not valid."}
    fault = {"request_id": str(said.get("request_id", place)), "errors": [error]}
    return Refusal(400, problem(400, "Request validation failed", **{"validation-errors": [fault]}))


def _listed(asked: Asked, name: str, rows: Sequence[Any]) -> Any:
    """A page; nothing is HTTP 204."""
    limit, page = int(asked.query.get("limit", 50)), int(asked.query.get("page", 1))
    shown = rows[(page - 1) * limit : page * limit]
    if not shown:
        return Answer(204)
    links = {"next": {"href": f"?page={page + 1}"}} if len(rows) >= page * limit else {}
    return {"_page": page, "_links": links, "_embedded": {name: shown}}


def _values(asked: Asked, name: str) -> set[str]:
    return {value for key, value in asked.query.items() if key.startswith(f"{name}[")}


def _written(params: Mapping[str, Any], incoming: bool, author: str) -> Written:
    """`person` is who is shown, or whose record it is where that is nobody of amoCRM's users."""
    seconds, status = int(params["duration"]), params.get("call_status")
    shown = str(params.get("call_responsible", ""))
    return Written(
        direction="in" if incoming else "out",
        answered=status == 4 if status else seconds > 0,
        seconds=seconds,
        person=shown if shown.isdecimal() and int(shown) > MAX_EXTENSION else author,
        recording=str(params.get("link", "")),
        client=True,
        ended=True,
    )


def _link(said: Mapping[str, Any]) -> dict[str, str]:
    return {"link": said["link"]} if said.get("link") else {}


def _digits(text: str) -> str:
    return "".join(filter(str.isdecimal, text))


def _same(one: str, other: str) -> bool:
    return _digits(one)[-10:] == _digits(other)[-10:]
