"""An account of Planfix: its telephony API as a PBX sees it, and the REST API as far as the adapter speaks it."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from .crm import Crm, ToDo, Written
from .served import Answer, Asked, Refusal, Told, Wire, api

CALL, MISSED = 4, 6
TYPES = {
    CALL: (
        *(("Дата", 3), ("Время", 6), ("Тип", 8), ("Продолжительность (сек.)", 1), ("Сотрудник", 13), ("Контакт", 13)),
        *(("Внешняя линия", 0), ("Номер контакта", 0), ("Название внешней линии", 0)),
    ),
    MISSED: (
        *(("Дата и время", 5), ("Тип", 8), ("Контакт", 10), ("Внешняя линия", 0), ("Номер контакта", 0)),
        ("Название внешней линии", 0),
    ),
}
NAMES = {CALL: "Звонок", MISSED: "Пропущенный звонок"}
LABELS = ("Входящий", "Исходящий")
KNOWN = {
    "event": {"type", "event", "phone", "diversion", "ext", "callid"},
    "record": {"callid", "record_link", "is_temp"},
    "contact": {"phone", "callid"},
    "ping": set[str](),
}
AT_THE_END = {"duration", "is_recorded", "status", "record_link"}
STATUSES = {
    "in": {"Success", "Missed", "Cancelled"},
    "out": {"Success", "Busy", "NoAnswer", "NotAvailable", "NotAllowed", "Cancelled"},
}
PERSON = ("name", "midname", "lastname", "email", "position", "address")
CONTACT = {"template", "templateId", "isCompany", "phones", "supervisors", "sourceObjectId", *PERSON}
COMMENT = {"description", "owner", "isHidden", "files", "recipients", "sourceObjectId"}
TASK = {"template", "name", "description", "counterparty", "assignees", "endDateTime", "sourceObjectId"}


@dataclass(slots=True)
class Contact:
    id: int
    name: str
    phones: list[str]
    supervisors: list[str]
    company: bool = False
    template: int = 0
    more: dict[str, str] = field(default_factory=dict)
    """Its other fields, by Planfix's names."""


@dataclass(slots=True)
class Comment:
    """`where`: `contact/61` or `task/455`."""

    id: int
    where: str
    description: str = ""
    hidden: bool = False
    files: list[int] = field(default_factory=list)
    owner: str = ""


@dataclass(slots=True)
class Task:
    id: int
    name: str
    counterparty: str
    description: str = ""
    assignees: tuple[str, ...] = ()
    template: int = 0
    status: int = 2
    ends: str = ""


@dataclass(slots=True)
class Entry:
    """An entry of a data tag, in a comment that bears the recording."""

    key: int
    tag: int
    contact: int
    comment: int
    values: dict[int, Any]
    phone: str
    direction: str
    employee: str = ""
    seconds: int = 0


@dataclass(slots=True)
class Ringing:
    """A call as telephony tells it: what each short number does, what was told, its entry.

    An event that never came is nobody's fault here: the beginning or the end of a window may be missing.
    """

    direction: str
    phone: str
    legs: dict[str, str] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    """Short numbers that the window was opened for."""
    entries: list[Entry] = field(default_factory=list)


class Emulator(Crm):
    users: Mapping[str, str] = {"101": "user:5", "102": "user:7", "103": "user:9"}
    default = "user:1"
    untold = frozenset({"person"})  # «Пропущенный звонок» has no employee; whose «Звонок» is has tests of its own
    told_once = True
    keys = frozenset({"planfix_token", "token", "rest_token"})
    clicks = True

    shorts: Mapping[str, str] = {**users, "100": default, "105": default, "106": default}
    """Short numbers as the account's telephony settings have them; one employee may have several."""

    def __init__(self, name: str = "demo", latency: float = 0.0):
        super().__init__(name, latency)
        self.planfix_token, self.rest_token = _key("planfix", name), _key("rest", name)
        self.pbx_token, self.pbx_url = _key("pbx", name), ""
        self.rest = True
        """Whether the account's customer has filled in a REST token."""
        self.paced = False
        """Whether requests that come faster than one a second are refused."""
        self.keeps_call_id = True
        """Whether the customer has added the field `call_id` to both data tags."""
        self.fetches = True
        """Whether Planfix may fetch files from our address."""
        self.ringing: dict[str, Ringing] = {}
        self.contacts: dict[int, Contact] = {}
        self.tasks: dict[int, Task] = {}
        self.comments: dict[int, Comment] = {}
        self.entries: list[Entry] = []
        self.files: dict[int, str] = {}
        self.types = dict(TYPES)
        self._ids = itertools.count(61)
        self._last_rest = 0.0

    # --- What the contract asks

    @property
    def secrets(self) -> dict[str, str]:
        told = {
            "domain": self.url,
            "token": self.pbx_token,
            "planfix_url": f"{self.url}/tel/api",
            "planfix_token": self.planfix_token,
        }
        return {**told, "rest_token": self.rest_token} if self.rest else told

    @property
    def settings(self) -> dict[str, Any]:
        return {
            "mode": "voip",
            "no_operator_extension": "100",
            "call_id_field": "call_id",
            "use_call_tracking": True,
            "time_zone": "UTC",
            "forward_to_personal_manager": True,
            "responsible": "",
            "create_contact_incoming": True,
            "create_contact_outgoing": True,
            "default_responsible": self.default,
            "attach_to": "planfix",
            "task_role": "counterparty",
            "task_statuses_are": "notequal",
            "if_no_task": "card",
            "contact_role": "counterparty",
        }

    def calls(self, phone: str) -> Sequence[Written]:
        return [self._written(entry) for entry in self.entries if f"+{entry.phone}" == phone]

    def _written(self, entry: Entry) -> Written:
        files = self.comments[entry.comment].files if entry.comment else []
        return Written(
            direction=entry.direction,
            answered=entry.tag == CALL,
            seconds=entry.seconds,
            person=entry.employee,
            recording=self.files[files[-1]] if files else "",
            client=entry.contact in self.contacts,
            ended=True,
        )

    def screens(self, phone: str) -> set[str]:
        calls = [call for call in self.ringing.values() if f"+{call.phone}" == phone]
        seen = (self.shorts[short] for call in calls for short in call.seen)
        return {user for user in seen if user != self.default}  # who is not in his office, and has no screen

    def contact(self, phone: str) -> Mapping[str, str]:
        row = self._of_phone(phone)
        told = {"middle_name": "midname", "last_name": "lastname", "email": "email"}
        values = {name: row.more.get(theirs, "") for name, theirs in told.items()}
        more = {name: row.more.get(name, "") for name in ("position", "address")}
        return {"name": row.name, **values, **more, "responsible": next(iter(row.supervisors), "")}

    def tasks_of(self, phone: str) -> Sequence[ToDo]:
        own = [task for task in self.tasks.values() if task.counterparty == f"contact:{self._of_phone(phone).id}"]
        return [
            ToDo(
                re.sub(r"<br>|</p><p>", "\n", task.description).removeprefix("<p>").removesuffix("</p>"),
                datetime.strptime(task.ends, "%d-%m-%Y %H:%M").replace(tzinfo=UTC),
                next(iter(task.assignees), ""),
            )
            for task in own
        ]

    def _of_phone(self, phone: str) -> Contact:
        (found,) = (row for row in self.contacts.values() if phone.lstrip("+") in row.phones)
        return found

    def open_cards(self, phone: str) -> set[str]:
        calls = [call for call in self.ringing.values() if f"+{call.phone}" == phone]
        return {self.shorts[short] for call in calls for short, state in call.legs.items() if state != "left"}

    def know(self, phone: str, name: str, manager: str) -> None:
        self._new_contact(name, [phone.lstrip("+")], [manager])

    def install(self, handler_url: str) -> None:
        """Our address and key are saved in Planfix, which tells us its own."""
        super().install(handler_url)
        self.pbx_url = handler_url
        self._ask(cmd="setup", planfix_token=self.planfix_token, planfix_url=f"{self.url}/tel/api")

    def click(self, extension: str, phone: str) -> None:
        self._ask(**{"cmd": "makeCall", "from": extension, "to": phone.lstrip("+")})

    def _ask(self, **told: str) -> None:
        """A command for the PBX. An answer with anything but 200 and an empty body is shown to the person."""
        answer = self.tell(Wire(urlencode({**told, "token": self.pbx_token}).encode(), headers=_FORM))
        assert answer == Told(200, b""), answer

    # --- The telephony API

    @api("POST", "/tel/api")
    def telephony(self, asked: Asked) -> Any:
        form = asked.form
        if not asked.headers.get("content-type", "").startswith(_FORM["content-type"]):
            raise Refusal(400, {"error": "Invalid parameters"}, violation="no form")
        if not hmac.compare_digest(form.pop("planfix_token", ""), self.planfix_token):
            raise Refusal(401, {"error": "Invalid token"})
        command = form.pop("cmd", "")
        known = KNOWN.get(command)
        if known is None:
            raise Refusal(400, {"error": "Invalid parameters"}, violation=f"unknown command: {command}")
        ends = form.get("event") == "COMPLETED"
        own = {name for name in form if name.startswith("data_")} if ends else set()
        if strange := form.keys() - known - own - (AT_THE_END if ends else set()):
            self.violations.append(f"unknown parameters: {sorted(strange)}")
        answer: Callable[[dict[str, str]], Any] = getattr(self, f"_{command}")
        return answer(form)

    def _ping(self, _form: dict[str, str]) -> Any:
        return {"pbxToken": self.pbx_token, "pbxUrl": self.pbx_url}

    def _contact(self, form: dict[str, str]) -> Any:
        contact = self._by_phone(_needed(form, "phone"))
        if contact is None:
            return {}
        short = next((short for short, user in self.shorts.items() if user in contact.supervisors), "")
        return {"contact_name": contact.name, **({"responsible": int(short)} if short else {})}

    def _event(self, form: dict[str, str]) -> Any:
        kind, event = _needed(form, "type"), _needed(form, "event")
        phone, short, ident = _needed(form, "phone"), _needed(form, "ext"), _needed(form, "callid")
        if kind not in STATUSES or event not in {"INCOMING", "OUTGOING", "ACCEPTED", "COMPLETED"}:
            raise Refusal(400, {"error": "Invalid parameters"}, violation=f"no such event: {kind} {event}")
        if short not in self.shorts:
            return b""  # guards and drivers: such calls are not recorded
        call = self.ringing.setdefault(ident, Ringing(kind, phone))
        call.told.append(f"{event} {short} {form.get('status', '')}".strip())
        if call.entries:
            self.violations.append(f"{event} after the end of {ident}")
        self._follow(call, event, short, kind, form)
        return b""

    def _follow(self, call: Ringing, event: str, short: str, kind: str, form: dict[str, str]) -> None:
        before = call.legs.get(short, "")
        if event in ("INCOMING", "OUTGOING"):
            self._rule(event == ("OUTGOING" if kind == "out" else "INCOMING"), f"{event} of type {kind}")
            self._rule(before in ("", "left"), f"{short} rings already")
            call.legs[short] = "rings"
            call.seen.append(short)
        elif event == "ACCEPTED":
            self._rule(before in ("", "rings"), f"{short} has accepted or left")
            call.legs[short] = "talks"
        else:
            self._rule(before != "left", f"{short} has left already")
            call.legs[short] = "left"
            self._complete(call, short, kind, form)

    def _complete(self, call: Ringing, short: str, kind: str, form: dict[str, str]) -> None:
        status = _needed(form, "status")
        self._rule(status in STATUSES[kind], f"no such status: {kind} {status}")
        self._rule(form.get("duration", "").isdecimal(), "no duration")
        self._rule(form.get("is_recorded") in ("0", "1"), "is_recorded is neither 0 nor 1")
        self._rule("record_link" not in form or form["is_recorded"] == "1", "a link of no recording")
        if status == "Cancelled":
            return
        contact = self._by_phone(call.phone) or self._new_contact(call.phone, [call.phone], [self._first_rung(call)])
        tag = CALL if status == "Success" else MISSED
        named = {name.removeprefix("data_"): value for name, value in form.items() if name.startswith("data_")}
        values = {number: named[name] for number, name, kind_ in self._fields(tag) if name in named and kind_ == 0}
        comment = self._comment(f"contact/{contact.id}").id
        entry = Entry(next(self._ids), tag, contact.id, comment, values, call.phone, kind)
        entry.employee = self.shorts[short] if tag == CALL else ""
        entry.seconds = int(form["duration"])
        self._keep(entry, form.get("record_link", ""))
        call.entries.append(entry)
        self.entries.append(entry)

    def _first_rung(self, call: Ringing) -> str:
        """Planfix's own rule: the one who was rung first, even if another one answered."""
        return self.shorts[next(iter(call.legs))]

    def _record(self, form: dict[str, str]) -> Any:
        call = self.ringing.get(_needed(form, "callid"))
        link = _needed(form, "record_link")
        self._rule(call is not None and any(entry.tag == CALL for entry in call.entries), "a recording of no call")
        for entry in call.entries if call else ():
            self._keep(entry, link)
        return b""

    def _keep(self, entry: Entry, link: str) -> None:
        """«Сохранять записи в ПланФиксе»: a file of the comment that the entry stands in."""
        if link:
            self.comments[entry.comment].files.append(self._new_file(link))

    def _rule(self, kept: bool, words: str) -> None:
        if not kept:
            self.violations.append(words)

    # --- Things of the account

    def _new_contact(self, name: str, phones: list[str], supervisors: list[str], **more: Any) -> Contact:
        contact = Contact(next(self._ids), name, phones, supervisors, **more)
        self.contacts[contact.id] = contact
        return contact

    def _by_phone(self, phone: str) -> Contact | None:
        return next((contact for contact in self.contacts.values() if phone in contact.phones), None)

    def _comment(self, where: str, **given: Any) -> Comment:
        comment = Comment(next(self._ids), where, **given)
        self.comments[comment.id] = comment
        return comment

    def new_task(self, name: str, contact: int, **more: Any) -> Task:
        task = Task(next(self._ids), name, f"contact:{contact}", **more)
        self.tasks[task.id] = task
        return task

    def _fields(self, tag: int) -> list[tuple[int, str, int]]:
        """Id, name and type of a data tag's fields; ids differ from account to account."""
        own = ((("call_id", 0),) if self.keeps_call_id else ()) + (("utm_source", 0), ("utm_medium", 0))
        return [(tag * 100 + 2 * n, name, kind) for n, (name, kind) in enumerate((*self.types[tag], *own))]

    # --- REST: who asks, and how often

    def trust(self, asked: Asked) -> None:
        if not asked.path.startswith("/rest/"):
            return
        now, before = time.monotonic(), self._last_rest
        self._last_rest = now
        if self.paced and now - before < 1.0:
            raise Refusal(429, violation=f"{asked.path} came after {now - before:.2f} s")
        if asked.headers.get("authorization") != f"Bearer {self.rest_token}":
            raise _fail(1, "Invalid token", 401)
        if "access_token" in asked.query:
            raise _fail(41, "the token stands in the address", violation="a token in the address")

    # --- REST: contacts

    @api("POST", "/rest/contact/list")
    def contact_list(self, asked: Asked) -> Any:
        body = _page(asked)
        company = bool(body.get("isCompany"))
        rows = [contact for contact in self.contacts.values() if contact.company == company]
        for each in body.get("filters", ()):
            if each["type"] != 4003 or each["operator"] != "equal":
                raise _fail(0, "Rest API error", 500, violation=f"unknown filter: {each}")
            rows = [row for row in rows if any(str(each["value"]) in phone for phone in row.phones)]  # contains
        return {"result": "success", "contacts": [_contact_row(row) for row in rows]}

    @api("POST", "/rest/contact/")
    def contact_create(self, asked: Asked) -> Any:
        body = self._strict(asked.json, CONTACT)
        if not body.get("name"):
            raise _fail(2006, "Name is empty")
        phones = [each["number"] for each in body.get("phones", ())]
        self._rule(all(phone.isdecimal() for phone in phones), "a phone is more than digits")
        template = int((body.get("template") or {}).get("id", 0))
        contact = self._new_contact(body["name"], phones, self._people(body.get("supervisors")), template=template)
        self._name(contact, body)
        return Answer(201, {"result": "success", "id": contact.id})

    @api("POST", "/rest/contact/{id}")
    def contact_update(self, asked: Asked) -> Any:
        contact = self._of(asked, "contact")
        body = self._strict(asked.json, CONTACT)
        if "supervisors" in body:
            self.contacts[contact].supervisors = self._people(body["supervisors"])
        self._name(self.contacts[contact], body)
        return {"result": "success"}

    @api("GET", "/rest/contact/{id}")
    def contact_get(self, asked: Asked) -> Any:
        """What is not asked for by name does not come."""
        row = self.contacts[self._of(asked, "contact")]
        known = {**dict.fromkeys(PERSON, ""), **row.more, "name": row.name}
        wanted = asked.query.get("fields", "").split(",")
        return {
            "result": "success",
            "contact": {"id": row.id, **{name: known[name] for name in wanted if name in known}},
        }

    def _name(self, contact: Contact, body: Mapping[str, Any]) -> None:
        if "name" in body and not body["name"]:
            raise _fail(2006, "Name is empty")
        email = body.get("email")
        if email and any(row.more.get("email") == email for row in self.contacts.values() if row is not contact):
            raise _fail(2004, "E-mail is used by another contact")
        contact.name = body.get("name", contact.name)
        contact.more |= {name: body[name] for name in PERSON if name in body and name != "name"}

    def _people(self, told: Any) -> list[str]:
        users = [str(each["id"]) for each in (told or {}).get("users", ())]
        self._rule(all(":" in user for user in users), "a person without a prefix")
        return users

    # --- REST: tasks

    @api("POST", "/rest/task/list")
    def task_list(self, asked: Asked) -> Any:
        body = _page(asked)
        rows = list(self.tasks.values())
        for each in body.get("filters", ()):
            rows = [row for row in rows if _task_fits(row, each)]
        wanted = body.get("fields", "").split(",")
        part = rows[body["offset"] : body["offset"] + body["pageSize"]]
        return {"result": "success", "tasks": [{name: getattr(row, name) for name in wanted} for row in part]}

    @api("POST", "/rest/task/")
    def task_create(self, asked: Asked) -> Any:
        body = self._strict(asked.json, TASK)
        task = self.new_task(body["name"], 0, description=body.get("description", ""))
        task.counterparty = (body.get("counterparty") or {}).get("id", "")
        task.assignees = tuple(self._people(body.get("assignees")))
        task.template = int((body.get("template") or {}).get("id", 0))
        task.ends = (body.get("endDateTime") or {}).get("datetime", "")
        return Answer(201, {"result": "success", "id": task.id})

    @api("GET", "/rest/task/templates")
    def task_templates(self, asked: Asked) -> Any:
        return {"result": "success", "templates": [{"id": 24, "name": "Сделка"}, {"id": 25, "name": "Заявка"}]}

    @api("POST", "/rest/object/list")
    def objects(self, asked: Asked) -> Any:
        _page(asked)
        return {"result": "success", "objects": [{"id": 31, "name": "Обращение"}]}

    @api("GET", "/rest/process/task")
    def processes(self, asked: Asked) -> Any:
        return {"result": "success", "processes": [{"id": 1, "name": "Основной"}]}

    @api("GET", "/rest/process/task/{id}/statuses")
    def statuses(self, asked: Asked) -> Any:
        return {"result": "success", "statuses": [{"id": 2, "name": "В работе"}, {"id": 3, "name": "Завершённая"}]}

    @api("GET", "/rest/contact/templates")
    def contact_templates(self, asked: Asked) -> Any:
        return {"result": "success", "templates": [{"id": 1, "name": "Контакт"}]}

    # --- REST: comments and files

    @api("POST", "/rest/{kind}/{id}/comments/")
    def comment_create(self, asked: Asked) -> Any:
        where = f"{asked.parts['kind']}/{self._of(asked, asked.parts['kind'])}"
        comment = self._comment(where)
        self._fill(comment, asked)
        return Answer(201, {"result": "success", "id": comment.id})

    @api("GET", "/rest/comment/{id}")
    def comment(self, asked: Asked) -> Any:
        row = self.comments.get(int(asked.parts["id"]))
        if row is None:
            raise _fail(5000, "Comment does not exist")
        known = {"id": row.id, "files": [{"id": number} for number in row.files]}
        return {"result": "success", "comment": {name: known[name] for name in asked.query["fields"].split(",")}}

    @api("POST", "/rest/{kind}/{id}/comments/{comment}")
    def comment_update(self, asked: Asked) -> Any:
        if asked.parts["comment"] == "list":
            return self._comment_list(asked)
        comment = self.comments.get(int(asked.parts["comment"]))
        if comment is None or comment.where != f"{asked.parts['kind']}/{asked.parts['id']}":
            raise _fail(5000, "Comment does not exist")
        self._fill(comment, asked)
        return {"result": "success"}

    def _comment_list(self, asked: Asked) -> Any:
        body = _page(asked)
        where = f"{asked.parts['kind']}/{asked.parts['id']}"
        rows = [row for row in self.comments.values() if row.where == where]
        if body.get("resultOrder") == "Desc":
            rows.reverse()
        wanted = body.get("fields", "").split(",")
        return {"result": "success", "comments": [{name: getattr(row, name) for name in wanted} for row in rows]}

    def _fill(self, comment: Comment, asked: Asked) -> None:
        body = self._strict(asked.json, COMMENT)
        comment.description = body.get("description", comment.description)
        comment.hidden = body.get("isHidden", comment.hidden)
        comment.owner = str((body.get("owner") or {}).get("id", comment.owner))
        self._rule("\n" not in comment.description, "line breaks that Planfix drops")
        files = [each["id"] for each in body.get("files", ())]
        if any(number not in self.files for number in files):
            raise _fail(7000, "File does not exist")
        comment.files = files or comment.files

    @api("POST", "/rest/file/from-url/")
    def file_from_url(self, asked: Asked) -> Any:
        body = self._strict(asked.json, {"name", "url"})
        if not self.fetches:
            raise _fail(41, "Unsafe url for downloading file")
        return {"result": "success", "id": self._new_file(body["url"])}

    @api("POST", "/rest/file/")
    def file_upload(self, asked: Asked) -> Any:
        self._rule(b'name="file"' in asked.body, "the file's field has another name")
        return {"result": "success", "id": self._new_file("uploaded")}

    def _new_file(self, source: str) -> int:
        number = next(self._ids)
        self.files[number] = source
        return number

    # --- REST: data tags

    @api("POST", "/rest/datatag/list")
    def datatag_list(self, asked: Asked) -> Any:
        _page(asked)
        group = {"id": 3, "name": "Телефония"}
        return {
            "result": "success",
            "dataTags": [{"id": tag, "name": name, "group": group} for tag, name in NAMES.items()],
        }

    @api("GET", "/rest/datatag/{id}")
    def datatag(self, asked: Asked) -> Any:
        tag = int(asked.parts["id"])
        if tag not in NAMES:
            raise _fail(6000, "Data tag does not exist")
        self._rule("fields" in asked.query.get("fields", "").split(","), "fields are not asked for")
        fields = [
            {"id": number, "name": name, "type": kind, **({"enumValues": list(LABELS)} if kind == 8 else {})}
            for number, name, kind in self._fields(tag)
        ]
        return {"result": "success", "dataTag": {"id": tag, "name": NAMES[tag], "fields": fields}}

    @api("POST", "/rest/contact/{id}/datatags/")
    def entry_create(self, asked: Asked) -> Any:
        contact, body = self._of(asked, "contact"), self._strict(asked.json, {"dataTag", "items"})
        tag = body["dataTag"]["id"]
        (item,) = body["items"]
        values = {each["field"]["id"]: each["value"] for each in item["customFieldData"]}
        fields = self._fields(tag)
        self._rule(values.keys() <= {number for number, _, _ in fields}, "fields of another data tag")
        for number, name, kind in fields:
            if number in values and not _SHAPES[kind](values[number]):
                raise _fail(6011, f"the value of «{name}» is none: {values[number]}", violation=f"{name} is none")
        told = {name: values.get(number) for number, name, _ in fields}
        entry = Entry(
            key=next(self._ids),
            tag=tag,
            contact=contact,
            comment=self._comment(f"contact/{contact}").id,
            values=values,
            phone=str(told["Номер контакта"]),
            direction="out" if told["Тип"] == LABELS[1] else "in",
            employee=(told.get("Сотрудник") or {}).get("id", ""),
            seconds=told.get("Продолжительность (сек.)") or 0,
        )
        self.entries.append(entry)
        return Answer(201, {"result": "success", "keys": [entry.key], "commentId": entry.comment})

    @api("POST", "/rest/datatag/{id}/entry/list")
    def entry_list(self, asked: Asked) -> Any:
        body, tag = _page(asked), int(asked.parts["id"])
        rows = [entry for entry in self.entries if entry.tag == tag]
        for each in body.get("filters", ()):
            if each["type"] != 3108:
                raise _fail(0, "Rest API error", 500, violation=f"unknown filter: {each}")
            rows = [row for row in rows if each["value"] in str(row.values.get(each["field"], ""))]
        fields = [int(name) for name in body.get("fields", "").split(",") if name.isdecimal()]
        return {"result": "success", "dataTagEntries": [_entry_row(row, fields) for row in rows]}

    @api("DELETE", "/rest/datatag/entry/{key}")
    def entry_delete(self, asked: Asked) -> Any:
        entry = next((each for each in self.entries if str(each.key) == asked.parts["key"]), None)
        if entry is None:
            raise _fail(6010, "Data tag entry does not exist")
        self.entries.remove(entry)
        return {"result": "success"}

    # --- REST: employees

    @api("POST", "/rest/user/list")
    def user_list(self, asked: Asked) -> Any:
        body = _page(asked)
        numbers = sorted({*self.users.values(), self.default})
        rows = [
            {"id": user, "name": "Сотрудник", "lastname": user.removeprefix("user:"), "email": "", "phones": []}
            for user in numbers
        ]
        return {"result": "success", "users": rows[body["offset"] :][: body["pageSize"]]}

    # --- REST: what all have in common

    def _of(self, asked: Asked, kind: str) -> int:
        number = int(asked.parts["id"])
        if kind == "contact" and number not in self.contacts:
            raise _fail(2000, "Contact does not exist")
        if kind == "task" and number not in self.tasks:
            raise _fail(1000, "Task does not exist")
        return number

    def _strict(self, body: dict[str, Any], known: set[str]) -> dict[str, Any]:
        if strange := body.keys() - known:
            self.violations.append(f"unknown fields: {sorted(strange)}")
        return body


def _key(*what: str) -> str:
    return hashlib.md5("-".join(what).encode(), usedforsecurity=False).hexdigest()


_FORM = {"content-type": "application/x-www-form-urlencoded"}


def _needed(form: dict[str, str], name: str) -> str:
    if not form.get(name):
        raise Refusal(400, {"error": "Invalid parameters"}, violation=f"{name} is missing")
    return form[name]


def _fail(code: int, words: str, status: int = 400, *, violation: str = "") -> Refusal:
    return Refusal(status, {"result": "fail", "code": code, "error": words}, violation=violation)


def _page(asked: Asked) -> dict[str, Any]:
    body: dict[str, Any] = asked.json
    if not 0 < body.get("pageSize", 0) <= 100 or "offset" not in body:
        raise _fail(41, "pageSize", violation="a page of more than 100")
    return body


def _contact_row(row: Contact) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "isCompany": row.company,
        "phones": [{"number": phone, "type": 1} for phone in row.phones],
        "supervisors": {"users": [{"id": user} for user in row.supervisors], "groups": []},
    }


def _entry_row(row: Entry, fields: Sequence[int]) -> dict[str, Any]:
    values = [{"field": {"id": number}, "value": row.values[number]} for number in fields if number in row.values]
    return {"key": row.key, "commentId": row.comment, "contact": {"id": row.contact}, "customFieldData": values}


def _task_fits(task: Task, condition: Mapping[str, Any]) -> bool:
    value = condition["value"]
    among = value if isinstance(value, list) else [value]
    found = {
        7: task.counterparty in among,
        2: any(each in task.assignees for each in among),
        39: task.counterparty in among or any(each in task.assignees for each in among),
        51: task.template in among,
        10: task.status in among,
        12: isinstance(value, dict) and value.get("dateType") == "last",
    }
    if condition["type"] not in found:
        raise _fail(0, "Rest API error", 500, violation=f"unknown filter: {condition}")
    return found[condition["type"]] == (condition["operator"] == "equal")


def _is_person(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("id", "")).partition(":")[0] in ("user", "contact")


_SHAPES: Mapping[int, Callable[[Any], bool]] = {
    0: lambda value: isinstance(value, str),
    1: lambda value: isinstance(value, int),
    3: lambda value: len(value["date"]) == 10,
    5: lambda value: len(value["datetime"]) == 16,
    6: lambda value: bool(value["from"]["time"] and value["to"]["time"]),
    8: lambda value: value in LABELS,
    10: _is_person,
    13: _is_person,
}
"""What the value of a field of each type must look like."""
