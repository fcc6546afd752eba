"""One PBX account: its people, lines and groups, its rate limits and the lock after wrong requests."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

DEFAULT_KEY = "demo0vpbx0api0key0000000000000a1"
DEFAULT_SALT = "demo0vpbx0api0salt000000000000b2"
DOMAIN = "demo.mangosip.ru"

# Requests per window of seconds for one PBX. `stats/calls/request/` is held to the figure of "stats request".
LIMITS: dict[str, tuple[int, float]] = {
    "total": (10, 1.0),
    "commands/callback": (4, 1.0),
    "commands/callback_group": (4, 1.0),
    "commands/call/hangup": (4, 1.0),
    "commands/recording/start": (4, 1.0),
    "commands/route": (1, 2.0),
    "commands/transfer": (1, 2.0),
    "config/users/request": (1, 2.0),
    "account/balance": (2, 1.0),
    "stats/request": (1, 2.0),
    "stats/calls/request/": (1, 2.0),
    "queries/recording/post": (10, 1.0),
}
LOCK_SECONDS = 120.0


@dataclass(slots=True)
class Employee:
    """A card of the cabinet. The extension is a string (leading zeros) and may be empty."""

    extension: str
    name: str
    user_id: int = -1
    mobile: str | None = None
    department: str = ""
    groups: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Line:
    """An incoming line (virtual number); SIP lines have a name, which is what a callback takes as caller ID."""

    number: str
    name: str | None = None
    comment: str | None = None


@dataclass(slots=True)
class Group:
    """A group of employees with an extension of its own."""

    extension: str
    name: str
    members: list[str]
    group_id: int = 10000200


@dataclass(slots=True)
class Recording:
    """A recording: it can be fetched only after `events/record/added`."""

    recording_id: str
    entry_id: str
    call_id: str
    extension: str
    seconds: float = 0.0
    added: bool = False
    seq: int = 1


@dataclass(slots=True)
class Violation:
    """One thing that the hub did and must not do."""

    time: float
    account: str
    what: str
    detail: str


class RateLimiter:
    """Sliding windows. A refused request does not count (the documentation says nothing about it)."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[float]] = {}

    def exceeded(self, endpoint: str, now: float) -> str | None:
        """Name the limit that this request would break; book the request when it breaks none."""
        buckets = [name for name in ("total", endpoint) if name in LIMITS]
        for name in buckets:
            count, window = LIMITS[name]
            seen = self._seen.setdefault(name, deque())
            while seen and now - seen[0] >= window:
                seen.popleft()
            if len(seen) >= count:
                return f"{name}: more than {count} per {window:g} s"
        for name in buckets:
            self._seen[name].append(now)
        return None


class MistakeLock:
    """More than one 3xxx answer in two minutes: HTTP 401 for everything until two minutes after the first."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._count = 0

    def locked(self, now: float) -> bool:
        """Whether the account is locked at this moment."""
        if self._first is not None and now - self._first >= LOCK_SECONDS:
            self._first, self._count = None, 0
        return self._count > 1

    def mistake(self, now: float) -> None:
        """Book one answer of the class 3xxx."""
        if not self.locked(now) and self._first is None:
            self._first = now
        self._count += 1


def default_employees() -> list[Employee]:
    """The people of the demo company."""
    names = [("101", "Anna Ivanova"), ("102", "Boris Petrov"), ("103", "Vera Smirnova")]
    return [Employee(ext, name, 300000000 + int(ext), "79000000" + ext, "Sales", [10000200]) for ext, name in names]


def default_lines() -> list[Line]:
    """The virtual numbers of the demo company."""
    return [
        Line("74950000001", None, "Ads"),
        Line("74950000002", None, "Shop"),
        Line(f"sip:main@{DOMAIN}", "Office", None),
    ]


@dataclass(slots=True)
class Account:
    """An account, found by `vpbx_api_key`.

    `behaviour` tells what a called client (and employee) does in a callback: overrides of `CallSpec` by the client's
    number, ``"*"`` for all. `quirks`: `string_types`, `numeric_extension`, `locaton`, `no_line_later`, `odd_json`,
    `lf_rows` – forms that the documentation's own examples or public clients show.
    """

    key: str = DEFAULT_KEY
    salt: str = DEFAULT_SALT
    hub_url: str = ""
    employees: list[Employee] = field(default_factory=default_employees)
    lines: list[Line] = field(default_factory=default_lines)
    groups: list[Group] = field(default_factory=lambda: [Group("200", "Sales", ["101", "102"])])
    product_id: int = 300000001
    domain: str = DOMAIN
    public_links: bool = True
    balance: float = 1000.0
    timestamp_shift: int = 0
    stats_utc_offset: int = 3
    quirks: set[str] = field(default_factory=set)
    behaviour: dict[str, dict[str, Any]] = field(default_factory=dict)
    visitors: dict[str, dict[str, Any]] = field(default_factory=dict)
    recordings: dict[str, Recording] = field(default_factory=dict)
    limiter: RateLimiter = field(default_factory=RateLimiter)
    lock: MistakeLock = field(default_factory=MistakeLock)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Account:
        """An account from the JSON of the control interface."""
        plain = {name: value for name, value in data.items() if name in cls.__dataclass_fields__}
        for name, kind in (("employees", Employee), ("lines", Line), ("groups", Group)):
            if name in plain:
                plain[name] = [kind(**item) for item in plain[name]]
        if "quirks" in plain:
            plain["quirks"] = set(plain["quirks"])
        return cls(**plain)

    def public(self) -> dict[str, Any]:
        """What the state page shows; the salt stays out."""
        return {
            "key": self.key,
            "hub_url": self.hub_url,
            "employees": [asdict(item) for item in self.employees],
            "lines": [asdict(item) for item in self.lines],
            "groups": [asdict(item) for item in self.groups],
            "quirks": sorted(self.quirks),
        }

    def employee(self, extension: str) -> Employee | None:
        """The employee with this extension."""
        return next((item for item in self.employees if extension and item.extension == extension), None)

    def group(self, extension: str) -> Group | None:
        """The group with this extension."""
        return next((item for item in self.groups if item.extension == extension), None)

    def line(self, number_or_name: str) -> Line | None:
        """A line as a callback names it: by its DID or by the name of a SIP line, never by a SIP URI."""
        for item in self.lines:
            is_sip = item.number.startswith("sip:")
            if (item.name if is_sip else item.number) == number_or_name:
                return item
        return None
