"""What a PBX protocol is to Callbridge.

A provider is a folder with a module `provider.py` that defines one subclass of `Provider`. It turns what a PBX sends
into facts and our commands into what the PBX understands. It holds no state, knows no database and imports nothing of
ours but this module and `outbound`.

Numbers in facts are as the vendor writes them (the house normalises them), times are aware.
"""

from __future__ import annotations

import asyncio
import enum
import ssl
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

from django import forms

from outbound.errors import VendorFault
from outbound.http import MAX_RECORDING, Http
from outbound.limits import Limit
from outbound.vendors import Check, Refused, Reply, Vendor

if TYPE_CHECKING:
    from .self_test import SelfTest

T = TypeVar("T")
Secrets = Mapping[str, str]
"""What the credential form of a provider holds, by field name."""


# --- What a PBX sends -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a PBX as it came. `path` is what follows the connection's own address, `headers` are lower-case."""

    method: str
    path: str
    body: bytes
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    remote: str = ""
    _read: dict[object, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, read: Callable[[Request], T]) -> T:
        """What `read` makes of it: it is asked once, however many want to know. What it gives is not to be changed."""
        if read not in self._read:
            self._read[read] = read(self)
        found: T = self._read[read]
        return found


@dataclass(frozen=True, slots=True)
class Question:
    """A PBX asks before it goes on with a call: who is this, and who shall take it?

    `call` is its id of the call; empty where it names none. Numbers are as the vendor writes them.
    """

    client_number: str
    virtual_number: str = ""
    call: str = ""


@dataclass(frozen=True, slots=True)
class Advice:
    """What we could find out in time; all empty: the PBX goes on by itself.

    `extension`: who shall take the call, `phone`: a phone of his (E.164). `client`: the caller's name.
    """

    extension: str = ""
    client: str = ""
    phone: str = ""


class NotUnderstood(Exception):
    """A stored event cannot be parsed: it is kept and shown with these words, and parsed again after a mend."""


# --- Facts: what an event says about a call ---------------------------------------------------------------------------


class Direction(enum.StrEnum):
    IN = "in"
    OUT = "out"
    INTERNAL = "internal"


class LegState(enum.StrEnum):
    RINGING = "ringing"
    TALKING = "talking"
    HELD = "held"
    ENDED = "ended"


class Place(enum.StrEnum):
    """Where a leg is: in a voice menu, waiting in a queue, or at a person."""

    MENU = "menu"
    QUEUE = "queue"
    PERSON = "person"


class Outcome(enum.StrEnum):
    ANSWERED = "answered"
    MISSED = "missed"
    BUSY = "busy"
    NO_ANSWER = "no_answer"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    FAILED = "failed"


class RecordingState(enum.StrEnum):
    """`ANNOUNCED`: being recorded or made; `READY`: may be fetched; `ABSENT`: there is none and will be none."""

    ANNOUNCED = "announced"
    READY = "ready"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Party:
    """One side of a leg: an employee (with an extension) or somebody else (without). Hidden callers have neither."""

    extension: str = ""
    number: str = ""


NO_TIME = datetime.min.replace(tzinfo=UTC)
"""What stands where the vendor wrote something that is no time. The house takes the time of receipt, as it does for
times that cannot be."""
AT_RECEIPT = datetime.min.replace(tzinfo=UTC, microsecond=1)
"""The time of what a vendor tells as it happens, without saying when: the house takes the time of receipt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """`call` is the vendor's id of the whole call, over all its legs."""

    call: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg(Fact):
    """A leg came into a state.

    `seq` orders the states of this leg; facts with the same (`leg`, `seq`) are one. `parent` is the leg it was born
    from. `command` is the id of the command of ours that made it. `callback` says that the PBX calls the employee first
    and the client second. `direction` only where the protocol says it. `why` only in the end: what a call that ends
    with this leg has come to if nobody talked. `takes_over`: who talks here talks alone with the client, so whoever
    did before has left (of vendors that do not tell when somebody leaves).
    """

    leg: str
    seq: int
    state: LegState
    place: Place = Place.PERSON
    caller: Party = Party()
    callee: Party = Party()
    virtual_number: str = ""
    parent: str = ""
    command: str = ""
    callback: bool = False
    direction: Direction | None = None
    why: Outcome | None = None
    tracking_number: str = ""
    takes_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary(Fact):
    """The vendor's last word on a call: it is over. Empty fields say nothing. `at` is the end.

    Where a vendor says that it was answered and not when, the legs tell, else the end and `talk_seconds`.
    """

    direction: Direction | None = None
    client_number: str = ""
    extension: str = ""
    virtual_number: str = ""
    started_at: datetime | None = None
    answered_at: datetime | None = None
    outcome: Outcome | None = None
    talk_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingFact(Fact):
    """Something became known of a recording. `recording` is the vendor's id, `url` a link if the vendor sends one."""

    recording: str
    state: RecordingState
    extension: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Fact):
    """Something that changes no state but is worth reading in the passport (keys pressed, speech topics)."""

    text: str
    client_number: str = ""
    virtual_number: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alias(Fact):
    """`other` is one more id of the same call.

    `part`: under it a part of the call is told as if it were a call (some PBXs give a client who is handed on a new
    id). The call is over with the last words on all of its parts, and the conversations of the parts add up.
    """

    other: str
    part: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed(Fact):
    """We ended the call ourselves: its end never came. `why` is shown."""

    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Played(Fact):
    """A test call: we play it ourselves, and the PBX knows nothing of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandResult:
    """The PBX's late answer to a command of ours; belongs to no call."""

    command: str
    ok: bool
    code: str
    words: str = ""


Parsed = Fact | CommandResult


# --- What we ask of a PBX ---------------------------------------------------------------------------------------------


class Capability(enum.StrEnum):
    """What the house may ask of a provider. What is not listed is absent from our screens."""

    DIAL = "dial"
    HANGUP = "hangup"
    TRANSFER = "transfer"
    ROUTE = "route"  # by a command while the greeting plays
    USERS = "users"
    NUMBERS = "numbers"
    HISTORY = "history"
    RECORDINGS = "recordings"
    TRACKING = "tracking"
    BROWSER_PHONE = "browser_phone"  # SIP by WebSocket


@dataclass(frozen=True, slots=True)
class SipDoor:
    """Where phones in browsers register: the address of a WebSocket (`wss://…`), and what stands behind the @ of SIP
    addresses there."""

    address: str
    domain: str


@dataclass(frozen=True, slots=True)
class PbxUser:
    """An employee as the PBX knows him; `extension` may be empty: then he cannot be mapped."""

    name: str
    extension: str
    email: str = ""
    mobile: str = ""
    vendor_id: str = ""


@dataclass(frozen=True, slots=True)
class PbxNumber:
    """A number of the company as the vendor writes it; `name` is what the vendor's cabinet calls it."""

    number: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class HistoryLeg:
    """One row of the vendor's history. `direction` and `call_started_at` (where it is told) are those of the whole
    call, `ended_at` is None while the leg goes on, `recordings` are the vendor's ids of audio that can be fetched,
    `links` the addresses of these, of a vendor that sends them. `talk_seconds`: how long somebody talked with the
    client on this leg, where the vendor counts that: the sum is the call's, whatever lies between the legs."""

    call: str
    direction: Direction | None
    caller: Party
    callee: Party
    virtual_number: str
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime | None
    why: Outcome | None
    recordings: tuple[str, ...] = ()
    call_started_at: datetime | None = None
    talk_seconds: int | None = None
    links: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CallHistory(Fact):
    """All legs that the vendor's history has of a call that is over. `at` is when we asked.

    `journal_only`: a past call that somebody brought into the journal and that no CRM is to know of.
    """

    legs: tuple[HistoryLeg, ...]
    journal_only: bool = False


@dataclass(frozen=True, slots=True)
class Audio:
    """A recording as the vendor gave it: an open file, and the type that the vendor calls it.

    Whether it really is audio the house finds out by its bytes.
    """

    content: IO[bytes]
    content_type: str = ""

    @classmethod
    def fetched(
        cls,
        http: Http,
        url: str,
        *,
        limits: tuple[Limit, ...] = (),
        headers: Mapping[str, str] | None = None,
        deadline: float = 300.0,
    ) -> Audio:
        """GET `url` into a temporary file; any status but 200 is the vendor's fault."""
        file = tempfile.TemporaryFile()  # noqa: SIM115 (whoever gets the audio closes it)
        try:
            answer = http.request(
                "GET", url, limits=limits, headers=headers, deadline=deadline, max_size=MAX_RECORDING, into=file
            )
            if answer.status != 200:
                words = f"the recording is answered with HTTP {answer.status}: {answer.text[:200]}"
                raise VendorFault(words, code=f"http_{answer.status}")
        except BaseException:
            file.close()
            raise
        return cls(file, answer.headers.get("Content-Type", ""))


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who is behind a call-tracking number now. `utm` has the keys utm_source, utm_medium, …"""

    utm: Mapping[str, str]
    page: str = ""
    city: str = ""


@dataclass(frozen=True, slots=True)
class Brand:
    """A name on the box: what a customer looks for, and how the form of its family is worded for it. `without`: fields
    of that form for which this brand has no use; they are not shown."""

    slug: str
    title: str
    countries: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    without: frozenset[str] = frozenset()


# --- The protocol -----------------------------------------------------------------------------------------------------


class Line(ABC):
    """What the house gives to a provider that keeps a connection to its PBX: a way out, and somebody to tell."""

    @abstractmethod
    async def connect(
        self, host: str, port: int, tls: ssl.SSLContext | None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect, where the customer's address may be reached; raises `outbound.errors`."""

    @abstractmethod
    def heard(self, request: Request) -> None:
        """What the PBX told, to be stored and parsed like a request. Never waits; the order is kept."""

    @abstractmethod
    def up(self, calls: Collection[str]) -> None:
        """Everything is heard from now on, and these calls are all that go on: who said so before and is not among
        them has ended unheard."""


class Listener(ABC):
    """One PBX that is listened to; what it remembers survives the connection."""

    @abstractmethod
    async def listen(self, line: Line) -> None:
        """Connect and listen until the connection breaks: raises `outbound.errors`. The house calls again."""


class Provider(Vendor, ABC):
    """A PBX protocol family.

    Methods that get `http` speak to the vendor and raise `outbound.errors`; they neither retry nor store. `line` and
    `phone` arguments are E.164; the provider writes them as its vendor wants.
    """

    brands: ClassVar[tuple[Brand, ...]]
    capabilities: ClassVar[frozenset[Capability]]
    form: ClassVar[type[forms.Form]]
    """Credentials in the vendor's words. Fields that are secret use a password widget."""
    secret_fields: ClassVar[frozenset[str]] = frozenset()
    """Names of fields, in credentials and in events, that are masked wherever a person or a log can read them."""
    shared_paths: ClassVar[tuple[str, ...]] = ()
    """Addresses without a connection's token that this vendor's documents promise (`identify` finds the connection)."""
    wire_names: ClassVar[Mapping[str, str]] = {}
    """What the vendor calls a field of the form, where its name differs: vendor's name → field."""
    clock_shifts: ClassVar[tuple[int, ...]] = ()
    """Seconds by which this vendor's clock may be ahead, in some accounts: recognised at the first live event."""
    summary_patience: ClassVar[int] = 120
    """Seconds after the end of the last leg within which the vendor's summary is expected."""
    methods: ClassVar[frozenset[str]] = frozenset({"POST"})
    """HTTP methods of its requests. An event that comes by GET has its fields in `Request.query`."""
    answer_seconds: ClassVar[float] = 1.5
    """Within how long its questions must be answered, the way there and back left out."""
    sums_up: ClassVar[bool] = True
    """Whether its events say in the end what a call came to (`Summary`). Where they do not, a call is over with its
    last leg, and the history, which knows more, is asked soon."""
    history_counts_talk: ClassVar[bool] = True
    """Whether its history counts from when people talked. Where a menu or a queue that answered counts too, live events
    know better for how long, and the history only whether."""
    rings_phones: ClassVar[bool] = False
    """Whether its questions are answered with a phone to ring: where the manager has none, nothing is forwarded."""
    names_dials: ClassVar[bool] = True
    """Whether its events carry the id of the command that dialled (`Leg.command`). Where they do not, the house knows
    the call by who dials whom and when."""

    self_test: ClassVar[SelfTest | None] = None
    """What helps those who teach a PBX this protocol, where it is open to any."""

    def listener(self, secrets: Secrets) -> Listener | None:
        """What listens to a PBX that pushes nothing by itself; None for those that send requests."""
        return None

    @property
    def listens(self) -> bool:
        return type(self).listener is not Provider.listener

    def overheard(self, sample: Mapping[str, Any], folder: Path, secrets: Secrets) -> list[Request]:
        """What a listener would have told of a recorded stream, which lies in `folder` beside its `sample`."""
        return []

    def able(self, secrets: Secrets) -> frozenset[Capability]:
        """Which of the capabilities an account with these credentials has: some may want a key that was left out."""
        return self.capabilities

    def identify(self, request: Request) -> str:
        """The account a request to a shared path names (unproven); raises `Refused`."""
        raise Refused(404, "not_found")

    def account(self, secrets: Secrets) -> str:
        """What `identify` returns for requests of this account; empty where there are no shared paths."""
        return ""

    def handshake(self, request: Request) -> Reply | None:
        """The answer to a request that is no event (the vendor tries the address, say); None for an event.

        Nobody is proven and nothing is stored: answer what anybody may know.
        """
        return None

    @abstractmethod
    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """Prove the sender; raises `Refused`."""

    def reply(self, request: Request, secrets: Secrets) -> Reply:
        """What to answer once the event is on disk."""
        return Reply()

    @property
    def asks(self) -> bool:
        """Whether some of its events are questions."""
        return type(self).question is not Provider.question

    def question(self, request: Request) -> Question | None:
        """What the PBX asks with this event, once it is on disk; None where it waits for nothing but `reply`. Pure."""
        return None

    def answer(self, request: Request, advice: Advice) -> Reply:
        """What to answer to a question."""
        raise NotImplementedError

    @abstractmethod
    def parse(self, request: Request, secrets: Secrets) -> list[Parsed]:
        """What the event says. Pure. Nothing known: an empty list. Raises `NotUnderstood`.

        `secrets` are for what the customer knows of his PBX and its events do not say, such as a time zone.
        """

    def shown(self, request: Request) -> str:
        """The event as a person may read it in the passport, without secrets (the house masks once more)."""
        return request.body.decode("utf-8", "replace")

    def check(self, http: Http, secrets: Secrets, webhook_url: str) -> list[Check]:
        """Try the credentials; change nothing at the vendor. `webhook_url`: where it should send its events."""
        return []

    def dial(self, http: Http, secrets: Secrets, *, command: str, extension: str, phone: str, line: str) -> None:
        """Call the employee at `extension`, then the client at `phone`, showing `line` (may be empty)."""
        raise NotImplementedError

    def hangup(self, http: Http, secrets: Secrets, *, command: str, leg: str) -> None:
        """End a leg. A leg that is over already is a success."""
        raise NotImplementedError

    def transfer(
        self,
        http: Http,
        secrets: Secrets,
        *,
        command: str,
        leg: str,
        by: str,
        to: str,
        method: Literal["blind", "hold"],
    ) -> None:
        """Hand the client on a talking leg from the extension `by` to the extension or phone `to`."""
        raise NotImplementedError

    def route(self, http: Http, secrets: Secrets, *, command: str, leg: str, extension: str, deadline: float) -> None:
        """Send a call that is still in the menu or queue to an extension, within `deadline` seconds or not at all."""
        raise NotImplementedError

    def sip_door(self, secrets: Secrets) -> SipDoor:
        """Where the PBX takes SIP by WebSocket (RFC 7118). Browsers go there by themselves, the house never does."""
        raise NotImplementedError

    def users(self, http: Http, secrets: Secrets) -> list[PbxUser]:
        raise NotImplementedError

    def numbers(self, http: Http, secrets: Secrets) -> list[PbxNumber]:
        raise NotImplementedError

    def history(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> Iterable[HistoryLeg]:
        """The legs of all calls that began in the period, by the vendor's clock. May take minutes: it is prepared."""
        raise NotImplementedError

    def recording(self, http: Http, secrets: Secrets, recording: str, url: str) -> Audio | None:
        """Fetch a recording (`Audio.fetched`); None when it is not there yet."""
        raise NotImplementedError

    def visitor(self, http: Http, secrets: Secrets, tracking_number: str) -> Visitor | None:
        """Who was shown this call-tracking number; None when nobody is bound to it now."""
        raise NotImplementedError
