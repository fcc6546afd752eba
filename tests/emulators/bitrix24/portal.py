"""The state of one portal, and what it is configured with."""

from __future__ import annotations

import copy
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from .limits import Bucket, Operating
from .wire import phone_key

LEAD, DEAL, CONTACT, COMPANY = "LEAD", "DEAL", "CONTACT", "COMPANY"
TYPE_IDS = {1: LEAD, 2: DEAL, 3: CONTACT, 4: COMPANY}
SEARCH_ORDER = (CONTACT, LEAD, COMPANY)
SCOPES = ("crm", "im", "placement", "task", "telephony", "user_basic")
REUSE_SECONDS = 30 * 60

Entity = dict[str, Any]
Clock = Callable[[], float]


class ManualClock:
    """A clock that moves only when told to (token lives, the 30-minute rule, buckets)."""

    def __init__(self, start: float = 1767261600.0) -> None:
        self.now = start

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(slots=True)
class User:
    """An employee; `UF_PHONE_INNER` is the extension, and need not be unique."""

    id: int
    name: str
    last_name: str = ""
    phone_inner: str | None = None
    active: bool = True
    admin: bool = False
    mobile: str | None = None
    timeman: str = "OPENED"

    @property
    def full_name(self) -> str:
        return f"{self.name} {self.last_name}".strip()


@dataclass(slots=True)
class Client:
    """A contact, lead, company or deal that the portal has from the start."""

    type: str
    id: int
    name: str
    phones: tuple[str, ...] = ()
    assigned_by: int = 1
    fields: Entity = field(default_factory=dict)


@dataclass(slots=True)
class PortalConfig:
    """What a portal is made from, and returns to at a reset."""

    name: str = "default"
    access_token: str = ""
    refresh_token: str = ""
    application_token: str = ""
    member_id: str = ""
    client_id: str = "local.0000000000000000.00000001"
    client_secret: str = "demo-client-secret"
    users: list[User] = field(default_factory=lambda: demo_users())
    clients: list[Client] = field(default_factory=lambda: demo_clients())
    webhooks: dict[str, int] = field(default_factory=dict)
    webhook_telephony: bool = False
    webhook_scopes: tuple[str, ...] = SCOPES
    scopes: tuple[str, ...] = SCOPES
    crm_mode: int = 1
    utc_offset: int = 3
    token_seconds: int = 3600
    bucket_size: float = 50
    bucket_leak: float = 2
    operating_limit: float = 480
    operating_cost: dict[str, float] = field(default_factory=dict)
    install_handler: str = ""
    redirect_uri: str = ""
    lead_creation_error: str = ""
    app_name: str = "Callbridge"

    def __post_init__(self) -> None:
        prefix = "demo" if self.name == "default" else self.name
        self.access_token = self.access_token or f"{prefix}-access"
        self.refresh_token = self.refresh_token or f"{prefix}-refresh"
        self.application_token = self.application_token or f"{prefix}-application-token"
        self.member_id = self.member_id or f"{prefix}-member"


def demo_users() -> list[User]:
    return [
        User(1, "Admin", "Portal", admin=True),
        User(12, "Anna", "Ivanova", "101", mobile="+79000000101"),
        User(13, "Boris", "Petrov", "102"),
        User(14, "Vera", "Sidorova"),
    ]


def demo_clients() -> list[Client]:
    return [
        Client(CONTACT, 651, "Maria Sokolova", ("+79000000001",), 12),
        Client(COMPANY, 643, "Romashka LLC", ("+79000000001", "+74951234567"), 12),
    ]


@dataclass(slots=True)
class Token:
    """An access token. `kind`: `app` (the installer's), `event` (of the user who clicked), `user` (of a page in the
    portal) or `webhook`."""

    value: str
    user_id: int
    expires_at: float
    kind: str = "app"


@dataclass(slots=True)
class Record:
    """The one recording of a call; attaching again replaces it."""

    file_id: int
    filename: str
    content: bytes
    sha256: str
    at: float
    count: int = 1


@dataclass(slots=True)
class Finish:
    """What `finish` left: a row of the statistics and an activity of the CRM."""

    stat_id: int
    activity_id: int
    user_id: int
    duration: int
    status_code: str
    reason: str
    at: float
    add_to_chat: bool
    vote: int = 0
    cost: float = 0
    currency: str = ""


@dataclass(slots=True, eq=False)
class Call:
    """A call from `register` on. It is live until `finish`, and stays here for the record afterwards."""

    call_id: str
    external_id: str
    user_id: int
    phone: str
    type: int
    line: str
    started: str
    created: float
    origin: str = "app"
    app: str = "app"
    given_start: str = ""
    crm_type: str = ""
    crm_id: int | None = None
    created_entities: list[tuple[str, int]] = field(default_factory=list)
    lead_error: str = ""
    answered: bool = False
    shown: set[int] = field(default_factory=set)
    finish: Finish | None = None
    record: Record | None = None
    transcript_id: int | None = None
    history: list[tuple[float, str, Any]] = field(default_factory=list)

    @property
    def live(self) -> bool:
        return self.finish is None

    def note(self, now: float, what: str, detail: Any = None) -> None:
        self.history.append((round(now, 3), what, detail))


class Portal:
    """The state of one portal. Only the server's event loop changes it."""

    def __init__(self, config: PortalConfig, clock: Clock = time.time, violations: list[dict[str, Any]] | None = None):
        self.config = config
        self.clock = clock
        self.violations = [] if violations is None else violations
        self.base_url = ""
        self.reset()

    def reset(self, *, keep_auth: bool = False) -> None:
        """Back to the configuration. `keep_auth` keeps tokens, event bindings and lines."""
        config = self.config
        self.users = {user.id: copy.copy(user) for user in config.users}
        self.calls: dict[str, Call] = {}
        self.by_external: dict[str, list[Call]] = {}
        self.live_keys: dict[tuple[Any, ...], Call] = {}
        self.rows: list[Call] = []
        self.screens: dict[int, dict[str, float]] = {}
        self.entities: dict[str, dict[int, Entity]] = {LEAD: {}, DEAL: {}, CONTACT: {}, COMPANY: {}}
        self.phones: dict[str, dict[str, list[int]]] = {}
        self.messages: list[dict[str, Any]] = []
        self.activities: dict[int, dict[str, Any]] = {}
        self.todos: list[dict[str, Any]] = []
        self.comments: list[dict[str, Any]] = []
        self.tasks: list[dict[str, Any]] = []
        self.records: dict[int, Record] = {}
        self.hits: Counter[str] = Counter()
        self.commands: Counter[str] = Counter()
        self.deliveries: list[dict[str, Any]] = []
        self.buckets: dict[str, Bucket] = {}
        self.operating: dict[tuple[str, str], Operating] = {}
        self.version = 0
        self._ids = {"stat": 6, "activity": 7942, "file": 9078, LEAD: 3464, DEAL: 70, CONTACT: 659, COMPANY: 699}
        self._ids |= {
            "message": 12344,
            "task": 3710,
            "comment": 998,
            "todo": 500,
            "line": 6,
            "transcript": 100,
            "email": 4400,
        }
        for client in config.clients:
            self.add_client(client)
        if not keep_auth:
            self._reset_auth()

    def _reset_auth(self) -> None:
        config = self.config
        self.installed = True
        self.application_token = config.application_token
        self.tokens = {
            config.access_token: Token(config.access_token, self.admin_id, self.clock() + config.token_seconds)
        }
        self.refresh_tokens: dict[str, int] = {config.refresh_token: self.admin_id}
        self.used_refresh: set[str] = set()
        self.codes: dict[str, tuple[float, int]] = {}
        self.expired_answered = False
        self.bindings: list[dict[str, str]] = []
        self.placements: list[dict[str, str]] = []
        self.lines: dict[str, dict[str, Any]] = {}

    # --- small helpers

    @property
    def admin_id(self) -> int:
        return next((user.id for user in self.config.users if user.admin), 1)

    def next_id(self, kind: str) -> int:
        self._ids[kind] += 1
        return self._ids[kind]

    def violate(self, what: str, detail: Any = "") -> None:
        """Note what the vendor refuses, or what a good client must not do."""
        entry = {"time": round(self.clock(), 3), "portal": self.config.name, "what": what, "detail": detail}
        self.violations.append(entry)

    def active_user(self, user_id: int) -> User | None:
        user = self.users.get(user_id)
        return user if user and user.active else None

    def user_by_extension(self, extension: str) -> User | None:
        """The first active user with this extension (they are not unique)."""
        return next((u for u in self.users.values() if u.active and u.phone_inner == extension), None)

    def issue(self, user_id: int, kind: str = "app") -> Token:
        token = Token(os.urandom(16).hex(), user_id, self.clock() + self.config.token_seconds, kind)
        self.tokens[token.value] = token
        return token

    def expire_tokens(self) -> None:
        """All access tokens of the application die now; the refresh token lives."""
        for token in self.tokens.values():
            token.expires_at = min(token.expires_at, self.clock())

    # --- CRM

    def add_client(self, client: Client) -> Entity:
        first, _, last = client.name.partition(" ")
        names = {"NAME": first, "LAST_NAME": last} if client.type == CONTACT else {"TITLE": client.name}
        phones = [{"VALUE": phone, "VALUE_TYPE": "WORK"} for phone in client.phones]
        fields = {**names, "ASSIGNED_BY_ID": client.assigned_by, "PHONE": phones, **client.fields}
        return self.create_entity(client.type, fields, client.id)

    def create_entity(self, kind: str, fields: Entity, entity_id: int | None = None) -> Entity:
        number = entity_id or self.next_id(kind)
        entity = {**fields, "ID": number, "DATE_CREATE": self.clock()}
        entity.setdefault("ASSIGNED_BY_ID", self.admin_id)
        self.entities[kind][number] = entity
        self._ids[kind] = max(self._ids[kind], number)
        self.index_phones(kind, entity)
        self.version += 1
        return entity

    def index_phones(self, kind: str, entity: Entity) -> None:
        for phone in entity.get("PHONE") or []:
            ids = self.phones.setdefault(phone_key(str(phone.get("VALUE", ""))), {}).setdefault(kind, [])
            if entity["ID"] not in ids:
                ids.append(entity["ID"])

    def find_by_phone(self, phone: str) -> Iterable[tuple[str, Entity]]:
        """Entities of a number in the order CONTACT, LEAD, COMPANY."""
        found = self.phones.get(phone_key(phone), {})
        for kind in SEARCH_ORDER:
            for number in found.get(kind, ()):
                entity = self.entities[kind].get(number)
                if entity is not None:
                    yield kind, entity

    @staticmethod
    def title(kind: str, entity: Entity) -> str:
        if kind == CONTACT:
            return f"{entity.get('NAME', '')} {entity.get('LAST_NAME', '')}".strip()
        return str(entity.get("TITLE") or entity.get("NAME") or "")

    # --- screens and messages

    def show(self, call: Call, user_ids: Iterable[int]) -> list[int]:
        shown = [user_id for user_id in user_ids if user_id in self.users]
        for user_id in shown:
            self.screens.setdefault(user_id, {})[call.call_id] = self.clock()
            call.shown.add(user_id)
        self.version += 1
        return shown

    def hide(self, call: Call, user_ids: Iterable[int]) -> list[int]:
        hidden = [user_id for user_id in user_ids if self.screens.get(user_id, {}).pop(call.call_id, None)]
        call.shown.difference_update(hidden)
        self.version += 1
        return hidden

    def message(self, kind: str, to: str, text: str, **extra: Any) -> int:
        number = self.next_id("message")
        self.messages.append({"id": number, "kind": kind, "to": to, "text": text, "at": self.clock(), **extra})
        self.version += 1
        return number
