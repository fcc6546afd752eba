"""A strict emulator of a Megaplan account: API v3 as far as its telephony goes, and the request of a deal's scenario.

It refuses what Megaplan refuses (and what its description does not know), reads in the strictest way what is left open
(several calls may have one `providerId`; a client is not shown in the answer to a call), and notes in `violations` what
a careful client never does.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from .crm import Crm, ToDo, Written
from .served import Asked, Refusal, Wire, api

CALL_FIELDS = frozenset(
    {
        *("contentType", "id", "providerId", "type", "state", "recordLinks"),
        *("fromPhone", "toPhone", "fromUser", "toUser", "timeFrom", "timeTo"),
    }
)
TODO_FIELDS = frozenset({"contentType", "name", "category", "responsible", "relations", "description"})
"""Those that can be set: `when` is refused in every spelling."""
CLIENT_FIELDS = frozenset({"contentType", "firstName", "middleName", "lastName", "description"}) | {
    *("contactInfo", "responsibles")
}
TASK_FIELDS = frozenset({"contentType", "name", "subject", "isUrgent", "isTemplate"}) | {
    *("responsible", "deadline", "contractor")
}
TYPES = ("unknown", "in", "out", "miss", "fail")
STATES = ("unknown", "calling", "talking", "hold", "finished")
RANK = {"unknown": 0, "calling": 1, "talking": 2, "hold": 2, "finished": 3}
CLIENTS = ("ContractorHuman", "ContractorCompany")


@dataclass(slots=True)
class CallInfo:
    """A call; `seen` are employees on whose screens its card was, in their order."""

    id: str
    body: dict[str, Any]
    seen: list[str] = field(default_factory=list)
    todos: list[str] = field(default_factory=list)

    def side(self, kinds: Sequence[str]) -> str:
        """The id of who is on either side and of one of these kinds."""
        sides = (self.body.get("fromUser"), self.body.get("toUser"))
        return next((side["id"] for side in sides if side and side["contentType"] in kinds), "")

    @property
    def outgoing(self) -> bool:
        return self.body["type"] in ("out", "fail")

    @property
    def phone(self) -> str:
        return str(self.body.get("toPhone" if self.outgoing else "fromPhone", ""))


class Emulator(Crm):
    keeps_parts = True
    users: Mapping[str, str] = {"101": "1000003", "102": "1000004", "103": "1000005"}
    default = "1000009"
    keys = frozenset({"password", "access_token", "refresh_token"})
    untold = frozenset({"seconds", "person"})
    """There is no duration, only when a call began and ended. Its own tests compare both, and whose it is: a call has
    one employee, who talked last or, where nobody did, whom it rang at first."""
    pops_up = False
    """Of a group only one has the card: a call has one employee at a time."""
    clicks = True
    takes_hidden = True

    def __init__(self, name: str = "demo", latency: float = 0.0):
        super().__init__(name, latency)
        self.login, self.password = f"{name}@example.com", "demo-password"
        self.access, self.refresh, self.turn = "access-token-0001", "refresh-token-0001", 1
        self.shows_clients = False
        """Whether the answer to a call names the client that was found by its number."""
        self.forbidden: set[str] = set()
        """Parts of paths that this user has no right to."""
        self.call_infos: dict[str, CallInfo] = {}
        self.clients: dict[str, dict[str, Any]] = {}
        self.todos: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, dict[str, Any]] = {}
        self.deals: dict[str, dict[str, Any]] = {}
        self.categories = {"1": ("Дело", "todo"), "3": ("Звонок", "call")}
        self.numbers = {user: number for number, user in self.users.items()}
        self.numbers[self.users["102"]] = "sip:102@pbx.example.com"
        self._last = 500

    # --- As any CRM

    @property
    def secrets(self) -> dict[str, str]:
        return {
            "domain": self.url,
            "username": self.login,
            "password": self.password,
            "application_uuid": "00000000-1111-4222-8333-444444444444",
            "access_token": self.access,
            "refresh_token": self.refresh,
        }

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "default_responsible": self.default,
            "forward_to_personal_manager": True,
            "create_client_incoming": True,
            "create_client_outgoing": True,
            "create_communication": True,
            "communication_types": ["in", "miss", "out", "fail"],
            "communication_category": "3",
            "keep_absent": True,
            "absent_user": self.default,
        }

    def calls(self, phone: str) -> Sequence[Written]:
        return [_written(call) for call in self.call_infos.values() if f"+{call.phone}" == phone]

    def screens(self, phone: str) -> set[str]:
        return {user for call in self.call_infos.values() if f"+{call.phone}" == phone for user in call.seen}

    def contact(self, phone: str) -> Mapping[str, str]:
        client = self.clients[self._owner(phone[1:])]
        told = {"name": "firstName", "middle_name": "middleName", "last_name": "lastName", "note": "description"}
        emails = [str(each["value"]) for each in client["contactInfo"] if each["type"] == "email"]
        responsible = next((each["id"] for each in client["responsibles"]), "")
        values = {name: client.get(theirs, "") for name, theirs in told.items()}
        return {**values, "email": next(iter(emails), ""), "responsible": responsible}

    def tasks_of(self, phone: str) -> Sequence[ToDo]:
        own = [each for each in self.tasks.values() if each["contractor"]["id"] == self._owner(phone[1:])]
        return [
            ToDo(each["subject"], datetime.fromisoformat(each["deadline"]["value"]), each["responsible"]["id"])
            for each in own
        ]

    def open_cards(self, phone: str) -> set[str]:
        going_on = [call for call in self.call_infos.values() if call.body.get("state") not in (None, "finished")]
        return {user for call in going_on if f"+{call.phone}" == phone for user in call.seen}

    def know(self, phone: str, name: str, manager: str) -> None:
        self._client({"firstName": name, "contactInfo": [_contact(phone[1:])], "responsibles": [_link(manager)]})

    def click(self, extension: str, phone: str) -> None:
        """The button of a scenario in a deal: it names the deal and its client, no number and no person."""
        number = self._next()
        owner = self._owner(phone[1:])
        client = self.clients[owner] if owner else self._client({"contactInfo": [_contact(phone[1:])]})
        self.deals[number] = {"manager": _link(self.users[extension]), "contractor": client["id"]}
        named = {"Id": int(client["id"]), "Name": client["name"]}
        deal = {"Id": int(number), "Description": "", "Contractor": named}
        headers = {"Content-Type": "application/json"}
        self.tell(Wire(json.dumps({"data": {"deal": deal}}).encode(), path="deal", headers=headers))

    def tell_client(self, number: str, event: str = "on_after_update", *, uuid: str = "event-0001") -> None:
        """The event stream of an application."""
        about = {"integrationUuid": self.secrets["application_uuid"], "uuid": uuid, "model": "ContractorHuman"}
        body = {"event": event, "data": self.clients[number], "accountInfo": about}
        headers = {"Content-Type": "application/json"}
        self.tell(Wire(json.dumps(body).encode(), path="events", headers=headers))

    def expire(self) -> None:
        self.access = f"access-token-{self.turn:04}-over"

    # --- Tokens

    @api("POST", "/api/v3/auth/access_token")
    def tokens(self, asked: Asked) -> dict[str, Any]:
        form = asked.form
        if form.get("grant_type") == "refresh_token":
            good = form.get("refresh_token") == self.refresh
        else:
            good = (form.get("username"), form.get("password")) == (self.login, self.password)
        if not good:
            said = {"error": "invalid_grant", "error_description": "Invalid username and password combination"}
            raise Refusal(400, said)
        self.turn += 1
        self.access, self.refresh = f"access-token-{self.turn:04}", f"refresh-token-{self.turn:04}"
        given: dict[str, Any] = {
            "access_token": self.access,
            "expires_in": 172800,
            "token_type": "bearer",
            "scope": None,
        }
        return {**given, "refresh_token": self.refresh}

    def trust(self, asked: Asked) -> None:
        if asked.path.endswith("/auth/access_token"):
            return
        if asked.headers.get("authorization") != f"Bearer {self.access}":
            raise _refusal(401, "The access token provided is invalid.")
        if any(part in asked.path for part in self.forbidden):
            raise _refusal(403, "No act_renew rights for model 1000")

    # --- Calls

    @api("POST", "/api/v3/callInfo")
    def create(self, asked: Asked) -> Any:
        body = self._call_body(asked.json)
        for name in ("type", "state", "providerId", "timeFrom"):
            self._need(name in body, f"a call without {name}")
        self._need(not self._of_provider(body["providerId"]), f"a second call of {body['providerId']}")
        self._need(body["state"] != "finished", "a card for a call that is over")
        call = self._new_call(body)
        self._wake(call)
        return self._said(call)

    @api("POST", "/api/v3/callInfo/{id}")
    def update(self, asked: Asked) -> Any:
        call, body = self._call(asked), self._call_body(asked.json)
        if "id" not in body:
            self.violations.append("an update without its id makes a new call")
            return self._said(self._new_call(body))
        self._need(body["id"] == call.id, "another id in the body than in the path")
        self._change(call, body)
        self._wake(call)
        return self._said(call)

    @api("GET", "/api/v3/callInfo/provider")
    def by_provider(self, asked: Asked) -> Any:
        found = self._of_provider(_query(asked, "providerId").get("providerId"))
        if not found:
            raise _refusal(404, "Not found")
        return self._said(found[-1])

    @api("POST", "/api/v3/callInfo/provider")
    def update_by_provider(self, asked: Asked) -> Any:
        body = self._call_body(asked.json)
        found = self._of_provider(body.get("providerId"))
        if not found:
            raise _refusal(404, "Not found")
        self._change(found[-1], body)
        return self._said(found[-1])

    @api("POST", "/api/v3/callInfo/history")
    def history(self, asked: Asked) -> Any:
        said = asked.json
        if not isinstance(said, list):
            raise _refusal(422, "'stdClass' is not assignable to 'CallInfo[]'")
        bodies = [self._call_body(each) for each in said]  # all are read before one is kept
        return _envelope([self._shown(self._import(body)) for body in bodies])

    def _import(self, body: dict[str, Any]) -> CallInfo:
        self._need(body.get("state") == "finished", "a call in the history that is not over")
        found = self._of_provider(body.get("providerId"))
        if not found:
            return self._new_call(body)
        self._change(found[-1], body)
        return found[-1]

    @api("POST", "/api/v3/callInfo/{id}/setContractor")
    def set_contractor(self, asked: Asked) -> Any:
        call, link = self._call(asked), asked.json
        if link.get("contentType") not in CLIENTS or link.get("id") not in self.clients:
            raise _refusal(422, "no such contractor")
        call.body["toUser" if call.outgoing else "fromUser"] = link
        return self._said(call, client=True)

    def _call(self, asked: Asked) -> CallInfo:
        if asked.parts["id"] not in self.call_infos:
            raise _refusal(404, "Not found")
        return self.call_infos[asked.parts["id"]]

    def _of_provider(self, provider: Any) -> list[CallInfo]:
        return [call for call in self.call_infos.values() if provider and call.body.get("providerId") == provider]

    def _call_body(self, body: Any) -> dict[str, Any]:
        if not isinstance(body, dict) or body.get("contentType") != "CallInfo":
            raise _refusal(422, "'array' is not assignable to 'CallInfo'")
        self._only(body, CALL_FIELDS, "CallInfo")
        if body.get("type", "in") not in TYPES or body.get("state", "calling") not in STATES:
            raise _refusal(422, "unknown type or state")
        for side in ("fromUser", "toUser"):
            self._knows(body.get(side))
        for name in ("timeFrom", "timeTo"):
            _moment(body.get(name))
        for name in ("fromPhone", "toPhone"):
            self._need(str(body.get(name, "0")).isdecimal(), f"{name} is not in digits")
        links = body.get("recordLinks", ["https://"])
        self._need(bool(links) and all(str(each).startswith("http") for each in links), "no link in recordLinks")
        over = body.get("type") not in ("miss", "fail") or body.get("state") == "finished"
        self._need(over, "missed before it is over")
        return body

    def _knows(self, link: Any) -> None:
        known = self.clients.keys() | {*self.users.values(), self.default}
        if link is not None and (not isinstance(link, dict) or link.get("id") not in known):
            raise _refusal(422, "no such user")

    def _new_call(self, body: dict[str, Any]) -> CallInfo:
        call = CallInfo(self._next(), {**body})
        side = "toUser" if body.get("type") in ("out", "fail") else "fromUser"
        owner = self._owner(call.phone)
        if owner and not call.body.get(side):
            call.body[side] = _link(owner, "ContractorHuman")
        self.call_infos[call.id] = call
        return call

    def _change(self, call: CallInfo, body: dict[str, Any]) -> None:
        goes_on = RANK[body.get("state", "finished")] >= RANK[call.body["state"]]
        self._need(goes_on, f"a call goes back from {call.body['state']} to {body.get('state')}")
        call.body |= {name: value for name, value in body.items() if name != "id"}

    def _wake(self, call: CallInfo) -> None:
        user = call.side(["Employee"])
        if user and call.body["state"] != "finished" and user not in call.seen:
            call.seen.append(user)

    def _said(self, call: CallInfo, *, client: bool = False) -> Any:
        return _envelope(self._shown(call, client=client))

    def _shown(self, call: CallInfo, *, client: bool = False) -> dict[str, Any]:
        shown = {"recordLinks": [], **call.body, "id": call.id}
        if not (client or self.shows_clients):
            shown.pop("toUser" if call.outgoing else "fromUser", None)
        return shown

    # --- Communications

    @api("GET", "/api/v3/callInfo/{id}/todos")
    def todos_of(self, asked: Asked) -> Any:
        _query(asked, "all", "limit", "finished")
        return _envelope([{"contentType": "Todo", "id": each, **self.todos[each]} for each in self._call(asked).todos])

    @api("POST", "/api/v3/callInfo/{id}/todos")
    def add_todo(self, asked: Asked) -> Any:
        call, body = self._call(asked), asked.json
        self._only(body, TODO_FIELDS, "Todo")
        if not body.get("name") or body.get("category", {}).get("id") not in self.categories:
            raise _refusal(422, "a todo needs its name and a category that there is")
        for link in [body.get("responsible"), *body.get("relations", ())]:
            self._knows(link if link is None or link.get("contentType") != "Deal" else None)
        self._need(not call.todos, "a second communication of one call")
        number = self._next()
        self.todos[number] = body
        call.todos.append(number)
        return _envelope({"contentType": "Todo", "id": number, **body})

    @api("GET", "/api/v3/todoCategory")
    def todo_categories(self, asked: Asked) -> Any:
        rows = self.categories.items()
        return self._page(asked, "TodoCategory", {key: {"name": n, "masterType": t} for key, (n, t) in rows})

    # --- Clients

    @api("GET", "/api/v3/callRoute")
    def route(self, asked: Asked) -> Any:
        client = self.clients.get(self._owner(_query(asked, "phone").get("phone", "")))
        if not client:
            route: dict[str, Any] = {"type": "all", "timeout": 0, "employees": [], "users": []}
        else:
            shown = {name: value for name, value in client.items() if name != "contactInfo"}
            route = {"type": "responsible", "timeout": 20, "employees": client["responsibles"], "users": [shown]}
        return _envelope({"contentType": "CallRoute", **route})

    @api("GET", "/api/v3/contractorHuman/possibleDuplicates")
    def doubles(self, asked: Asked) -> Any:
        wanted = _query(asked, "name", "contactInfo", "limit")["contactInfo"]
        owner = self._owner(wanted[0]["value"])
        return _envelope([self.clients[owner]] if owner else [])

    @api("POST", "/api/v3/contractorHuman")
    def create_client(self, asked: Asked) -> Any:
        body = asked.json
        if body.get("contentType") != "ContractorHuman":
            raise _refusal(422, "'stdClass' is not assignable to 'ContractorHuman'")
        self._only(body, CLIENT_FIELDS, "ContractorHuman")
        for contact in body.get("contactInfo", ()):
            self._need(not self._owner(contact["value"]), f"a second client with {contact['value']}")
        for link in body.get("responsibles", ()):
            self._knows(link)
        return _envelope(self._client(body))

    @api("GET", "/api/v3/contractorHuman/{id}")
    def get_client(self, asked: Asked) -> Any:
        return _envelope(self._known_client(asked))

    @api("POST", "/api/v3/contractorHuman/{id}")
    def update_client(self, asked: Asked) -> Any:
        client, body = self._known_client(asked), asked.json
        if body.get("contentType") != "ContractorHuman":
            raise _refusal(422, "'stdClass' is not assignable to 'ContractorHuman'")
        self._only(body, CLIENT_FIELDS | {"id"}, "ContractorHuman")
        if "id" not in body:
            self.violations.append("an update without its id makes a new client")
            return _envelope(self._client(body))
        self._need("contactInfo" not in body, "contactInfo, of which nobody knows how it is merged")
        client |= body
        client["name"] = " ".join(filter(None, (client.get("firstName"), client.get("lastName"))))
        return _envelope(client)

    def _known_client(self, asked: Asked) -> dict[str, Any]:
        if asked.parts["id"] not in self.clients:
            raise _refusal(404, "Not found")
        return self.clients[asked.parts["id"]]

    @api("POST", "/api/v3/task")
    def create_task(self, asked: Asked) -> Any:
        body = asked.json
        self._only(body, TASK_FIELDS, "Task")
        if body.get("contentType") != "Task" or not body.get("name") or {"isUrgent", "isTemplate"} - body.keys():
            raise _refusal(422, "a task needs its name, isUrgent and isTemplate")
        _moment(body.get("deadline"))
        for link in (body.get("responsible"), body.get("contractor")):
            self._knows(link)
        number = self._next()
        self.tasks[number] = body
        return _envelope({"contentType": "Task", "id": number, **body})

    def _client(self, body: dict[str, Any]) -> dict[str, Any]:
        number = self._next()
        named = (body.get("firstName", "Клиент Тестовый"), body.get("lastName"))
        name = " ".join(filter(None, named))
        kind = {"contentType": "ContractorHuman", "id": number, "name": name, "responsibles": []}
        self.clients[number] = {**kind, **body}
        return self.clients[number]

    def _owner(self, phone: str) -> str:
        found = (
            number
            for number, client in self.clients.items()
            for contact in client.get("contactInfo", ())
            if contact["value"] == phone
        )
        return next(found, "")

    # --- People and deals

    @api("GET", "/api/v3/employee")
    def employees(self, asked: Asked) -> Any:
        everybody = [*self.users.values(), self.default]
        rows = {user: {"name": f"Сотрудник {user[-1]}", "contactInfo": [], "isWorking": True} for user in everybody}
        return self._page(asked, "Employee", rows)

    @api("GET", "/api/v3/callUserConfig")
    def configs(self, asked: Asked) -> Any:
        rows = enumerate(self.numbers.items(), 1)
        return self._page(
            asked,
            "CallUserConfig",
            {str(n): {"employee": _link(user), "internalNumber": number} for n, (user, number) in rows},
        )

    @api("GET", "/api/v3/deal/{id}")
    def deal(self, asked: Asked) -> Any:
        _query(asked, "fields")
        number = asked.parts["id"]
        return _envelope({"contentType": "Deal", "id": number, "manager": self._deal(number)["manager"]})

    @api("GET", "/api/v3/deal/{id}/contractor")
    def deal_contractor(self, asked: Asked) -> Any:
        return _envelope(self.clients[self._deal(asked.parts["id"])["contractor"]])

    def _deal(self, number: str) -> dict[str, Any]:
        if number not in self.deals:
            raise _refusal(404, "Not found")
        return self.deals[number]

    # --- What all have in common

    def _next(self) -> str:
        self._last += 1
        return str(self._last)

    def _need(self, good: bool, words: str) -> None:
        if not good:
            self.violations.append(words)

    def _only(self, body: Mapping[str, Any], known: frozenset[str], kind: str) -> None:
        for name in body.keys() - known:
            self.violations.append(f"{kind}.{name}")
            raise _refusal(422, f'There is extra field "{name}", which is not defined for content type "{kind}"')

    @staticmethod
    def _page(asked: Asked, kind: str, rows: Mapping[str, Mapping[str, Any]]) -> Any:
        query = _query(asked, "limit", "fields", "pageAfter", "onlyRequestedFields")
        ids, limit = list(rows), int(query.get("limit", 100))
        begin = ids.index(query["pageAfter"]["id"]) + 1 if "pageAfter" in query else 0
        shown = ids[begin : begin + limit]
        pages = {"count": len(ids), "limit": limit, "hasMoreNext": begin + limit < len(ids)}
        return _envelope([{"contentType": kind, "id": each, **rows[each]} for each in shown], pagination=pages)


def _written(call: CallInfo) -> Written:
    over = call.body["state"] == "finished"
    return Written(
        direction="out" if call.outgoing else "in",
        answered=over and call.body["type"] in ("in", "out"),
        person=call.side(["Employee"]),
        recording=next(iter(call.body.get("recordLinks", ())), ""),
        client=bool(call.side(CLIENTS)),
        ended=over,
    )


def _envelope(data: Any, **meta: Any) -> dict[str, Any]:
    return {"meta": {"status": 200, "errors": [], **meta}, "data": data}


def _refusal(status: int, words: str) -> Refusal:
    return Refusal(status, {"meta": {"status": status, "errors": [{"message": words}]}, "data": None})


def _query(asked: Asked, *known: str) -> dict[str, Any]:
    """A query is one JSON object, percent-encoded."""
    text = next(iter(asked.query), "")
    said = json.loads(unquote(text)) if text else {}
    for name in said.keys() - set(known):
        raise _refusal(422, f'There is extra field "{name}", which is not defined for this request')
    return dict(said)


def _moment(said: Any) -> None:
    if said is None:
        return
    if not isinstance(said, dict) or said.get("contentType") != "DateTime":
        raise _refusal(422, "'stdClass' is not assignable to 'DateTime'")
    if datetime.fromisoformat(said["value"]).tzinfo is None:
        raise _refusal(422, "a time without its zone")


def _contact(phone: str) -> dict[str, Any]:
    return {"contentType": "ContactInfo", "type": "phone", "value": phone, "isMain": True}


def _link(number: str, kind: str = "Employee") -> dict[str, str]:
    return {"contentType": kind, "id": number}
