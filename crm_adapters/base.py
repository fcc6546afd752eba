"""What a CRM is to Callbridge.

An adapter is a folder with a module `adapter.py` that defines one subclass of `Adapter`. It says which step a call
needs next (`plan`, pure), makes a batch of steps happen (`perform`), and finds out whether a step whose fate is unknown
was made (`look`). It neither sleeps nor retries nor stores; it knows no database and no PBX, and imports nothing of
ours but this module and `outbound`.

Phones are E.164, times are aware, durations whole seconds.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from django import forms

from outbound.errors import OutboundError, Rejected
from outbound.http import Http
from outbound.limits import Limit
from outbound.vendors import Check, Refused, Reply, Vendor

from .contacts import ContactField, NewContact, NewTask, Record

Secrets = Mapping[str, str]
"""What a credential holds, by field name: what the form asked for and what the CRM gave us (tokens)."""
Settings = Mapping[str, Any]
"""The cleaned data of the adapter's settings form."""
FORWARD = "forward_to_personal_manager"
"""The settings field, in every adapter that can look clients up, that lets calls be forwarded to the manager."""


# --- The call, as an adapter sees it ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Participant:
    """An employee's share in a call. `crm_user` is empty when nobody in the CRM is mapped to him."""

    extension: str
    crm_user: str
    name: str = ""
    ringing: bool = False
    talking: bool = False
    rang_at: datetime | None = None
    answered_at: datetime | None = None
    left_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What is known of a call now.

    `id` is ours, unique for ever, and the key that CRMs are given. `version` grows with each change. `direction` is
    `in` or `out`, `state` is `ringing`, `answered`, `held`, `transferred` or `finished`, `outcome` (when finished) one
    of `answered`, `missed`, `busy`, `no_answer`, `cancelled`, `rejected`, `failed`. `recording_url` is a link of ours
    that lives; `recording_expected` says that a recording may still come. `crm_call` is the CRM's own id of the call
    where the CRM began it. `live` is false for a call that is written long after it happened: nothing pops up then.
    `gathering`: a group is being rung, so others may begin to ring within the moment. `backfilled`: nobody told us of
    it live, so the house writes it after everything else.
    """

    id: str
    version: int
    direction: str
    state: str
    client_phone: str
    virtual_number: str
    line_name: str
    started_at: datetime
    participants: tuple[Participant, ...] = ()
    outcome: str = ""
    talk_seconds: int = 0
    wait_seconds: int = 0
    recording_url: str = ""
    recording_name: str = ""
    recording_expected: bool = False
    utm: Mapping[str, str] = field(default_factory=dict)
    crm_call: str = ""
    crm_user: str = ""
    crm_entity: str = ""
    live: bool = True
    gathering: bool = False
    backfilled: bool = False

    @property
    def finished(self) -> bool:
        return self.state == "finished"


@dataclass(frozen=True, slots=True)
class Job:
    """A call that one account wants, with what was written of it so far (`progress`, the adapter's own notes)."""

    facts: CallFacts
    settings: Settings
    progress: Mapping[str, Any]


# --- Steps ------------------------------------------------------------------------------------------------------------


class Repeat(enum.StrEnum):
    """How a step is made exactly once when the fate of a request is unknown."""

    KEY = "key"  # the CRM knows our key: repeat
    LOOK = "look"  # look first, repeat only what is not there
    STOP = "stop"  # neither: show it, a person decides


class Priority(enum.IntEnum):
    POP_UP = 1
    FINISH = 2
    RECORDING = 3
    BACKFILL = 4


@dataclass(frozen=True, slots=True)
class Step:
    """The next thing to do for a call. `name` is kept as the intent while the request is under way.

    `settle`: seconds to wait for what belongs together: a group that begins to ring, where requests are scarce, or
    minutes for a recording, where the CRM takes all in one. Whatever changes the call meanwhile plans anew.
    `keeps`: notes that are kept with the intent, before the request: what a repetition must say as the first try did,
    though the call has moved on.
    """

    name: str
    priority: Priority
    repeat: Repeat
    settle: float = 0.0
    keeps: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """One job and the step that `plan` gave for it."""

    job: Job
    step: Step


class Said(NamedTuple):
    """A sentence of ours, kept so that each reads it in his own language.

    `text` is marked with `gettext_noop`, `values` fill its %(placeholders)s and stay as they are.
    """

    text: str
    values: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Done:
    """The step was made: `progress` is merged into the call's notes, `words` are for the passport.

    The CRM's own words are a plain text in `words`, ours are `Said`.
    """

    progress: Mapping[str, Any]
    words: tuple[Said | str, ...] = ()


@dataclass(frozen=True, slots=True)
class NotMade:
    """`look` found that the step was not made: it is to be done."""


class Doubtful(Rejected):
    """`look` cannot tell whether the step was made: a person decides."""

    kind = "doubt"


Result = Done | NotMade | OutboundError
"""What became of one step; an error concerns this step alone."""

TO_COME = "…"
"""What stands in foreseen notes for an id that only the CRM gives."""


@dataclass(frozen=True, slots=True)
class Trace:
    """Something that stands in the CRM because of a call, and was not there before.

    `title` says what it is (marked with `gettext_noop`), `kind` and `id` name it to the CRM, `link` is the address of
    its page there (empty: none is known). `removable`: `remove` takes it away; else a person must.
    """

    title: str
    kind: str
    id: str
    link: str = ""
    removable: bool = False

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.id}"


# --- Look-ups, directories, events ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ClientMatch:
    """Whom the CRM knows under a phone.

    `manager` is the CRM's user responsible for the client, `manager_extension` his short number as the CRM knows it.
    `link` leads to the client's page, relative to the account's address. `others` are further matches.
    """

    entity: str
    entity_id: str
    name: str
    manager: str = ""
    manager_extension: str = ""
    manager_at_work: bool | None = None
    link: str = ""
    deals: tuple[str, ...] = ()
    company: str = ""
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listed:
    """A call that stands in the CRM, whoever wrote it.

    `id` is the CRM's own, `key` the writer's (ours is `CallFacts.id`). `phone` is the client's as the CRM has it,
    `seconds` how long it lasted, `writer` who seems to have written it, in the CRM's words (empty: it does not say).
    """

    id: str
    key: str
    direction: str
    phone: str
    started_at: datetime
    seconds: int
    writer: str = ""


@dataclass(frozen=True, slots=True)
class CrmUser:
    id: str
    name: str
    extension: str = ""
    email: str = ""
    phones: tuple[str, ...] = ()
    active: bool = True


class Choice(NamedTuple):
    """Something of the CRM that a setting names: a pipeline, a template, a kind of task."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a CRM as it came. `path` is what follows the credential's own address, `headers` are lower-case."""

    method: str
    path: str
    body: bytes
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """Something a CRM told us. `key` recognises repetitions; empty: never one."""

    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DialRequested(Event):
    """An employee clicked a number. `crm_call` is the CRM's id of the call it has registered already, if it has.

    Who clicked is named by `crm_user`, or by his `extension` where the CRM knows no more. `at`: when he did, where the
    CRM says so. The house refuses what comes too late.
    """

    at: datetime | None = None
    crm_user: str = ""
    extension: str = ""
    phone: str
    line: str = ""
    crm_call: str = ""
    crm_entity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsChanged(Event):
    """The CRM gave us new secrets (installation, renewal): merged into the credential. `installed` comes once."""

    secrets: Mapping[str, str]
    installed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientChanged(Event):
    """What the CRM knows of a client has changed: `match` with his `phones`, or None when he is gone or not told."""

    entity: str
    entity_id: str
    phones: tuple[str, ...] = ()
    match: ClientMatch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected(Event):
    """The customer removed our application in the CRM."""


@dataclass(frozen=True, slots=True)
class PhonePage:
    """A page of ours that the CRM loads into its own, with the phone of whoever has signed in there.

    `parent` is the origin of the CRM's pages, `library` the address of the CRM's own script and `script` our static
    file; `says` is what the page says again to prove who looks at it, `language` the reader's (may be empty).
    """

    parent: str
    library: str
    script: str
    says: Mapping[str, str]
    language: str = ""


class Capability(enum.StrEnum):
    POP_UP = "pop_up"
    RECORDING_LATER = "recording_later"
    CLICK_TO_CALL = "click_to_call"
    CLIENT_LOOKUP = "client_lookup"
    USERS = "users"
    CONTACTS = "contacts"
    TASKS = "tasks"
    OAUTH = "oauth"
    LISTS_CALLS = "lists_calls"


# --- The adapter ------------------------------------------------------------------------------------------------------


class Adapter(Vendor, ABC):
    """A CRM protocol. Methods that get `http` speak to the CRM and raise `outbound.errors`."""

    capabilities: ClassVar[frozenset[Capability]]
    credential_form: ClassVar[type[forms.Form]]
    settings_form: ClassVar[type[forms.Form]]
    """The documented toggles, in blocks: the form has `blocks`, pairs of a title and names of fields. A field whose
    widget has the attribute `data-source` is a choice of what the CRM has: of its `users`, or of another list that
    `choices` knows by that name."""
    rule_fields: ClassVar[tuple[str, ...]] = ()
    """Names of settings that may differ from call to call: a customer lays rules over them, by direction, outcome and
    number."""
    step_titles: ClassVar[Mapping[str, Any]]
    """What each of its steps has done, in words (`gettext_lazy`): name → title."""
    reasons: ClassVar[Mapping[str, tuple[Any, Any]]] = {}
    """Codes of `refuses` that only this CRM has, in words (`gettext_lazy`): code → why this call, and in short which
    calls, for their number. (`hidden_number` has words already.)"""
    methods: ClassVar[frozenset[str]] = frozenset({"POST"})
    """HTTP methods of the CRM's requests. An event that comes by GET has its fields in `Request.query`."""
    kept_headers: ClassVar[frozenset[str]] = frozenset()
    """Headers (lower-case) of its requests that an event is understood by, beside the usual ones."""
    contact_fields: ClassVar[tuple[ContactField, ...]] = ()
    """What of a client's record people see and change in the card of a call; the first is `contacts.NAME`."""
    secret_fields: ClassVar[frozenset[str]] = frozenset()
    """Names of credential fields that are never shown again."""
    token_fields: ClassVar[tuple[str, ...]] = ()
    """Names of secrets that no form asks for: the CRM gives them when the account is connected."""
    wire_names: ClassVar[Mapping[str, str]] = {}
    """What the vendor calls a credential's field, where its name differs: vendor's name → field."""
    twice_help: ClassVar[Any] = ""
    """What a customer does when somebody else writes the same calls into this CRM (`gettext_lazy`)."""
    browser_phone_setting: ClassVar[tuple[str, str] | None] = None
    """The setting, and its value, with which employees talk in the CRM's own pages (`phone_page`)."""
    batch_size: ClassVar[int] = 1
    """How many steps one `perform` takes at the most."""

    @abstractmethod
    def account(self, secrets: Secrets) -> str:
        """What names the account for ever (a portal's id, a domain). Two credentials with one account share limits."""

    def identify(self, request: Request) -> str:
        """The account a request to the address shared by all our customers names (unproven); raises `Refused`."""
        raise Refused(404, "not_found")

    @abstractmethod
    def limits(self, secrets: Secrets) -> tuple[Limit, ...]:
        """What one request costs: handed to `http.request` with each request of this account."""

    def refuses(self, job: Job) -> str:
        """Why the CRM cannot take this call as it is now (`hidden_number`); empty when it can. Pure and cheap: it is
        asked at each change of a call."""
        return ""

    @abstractmethod
    def plan(self, job: Job) -> Step | None:
        """The next step that the CRM lacks, or None. Pure and cheap: it is asked at each change of a call."""

    def withdraw(self, job: Job, doubtful: str = "") -> Step | None:
        """What was told as a call of its own turned out to be a part of another, which is written in its place: the
        next step that closes what the part has opened, or takes back what can be. Nothing more is written of it, and
        what a client got by it stays. None where nothing is open.

        `job.facts` are those of the part, finished; `doubtful` is the step whose request is of unknown fate. Pure and
        cheap.
        """
        return None

    @abstractmethod
    def perform(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        """Make the steps, one request for all where the CRM can: a result for each. Raises what concerns all."""

    @property
    def can_look(self) -> bool:
        """Whether this CRM can tell what became of a step."""
        return type(self).look is not Adapter.look

    def look(self, http: Http, secrets: Secrets, batch: Sequence[Work]) -> list[Result]:
        """Find out whether steps with `Repeat.LOOK` were made: `Done`, `NotMade`, `Doubtful` or another error for
        each."""
        raise NotImplementedError

    def foresee(self, job: Job, step: Step) -> Mapping[str, Any] | None:
        """The notes that a step leaves when the CRM does what it is asked, for a rehearsal that sends nothing; None
        where that depends on the CRM's answer. An id that only the CRM gives is `TO_COME`."""
        return None

    def traces(self, progress: Mapping[str, Any], secrets: Secrets) -> list[Trace]:
        """What a call has left in the CRM, by its notes, in the order in which it is to be removed. Nothing that may
        have been there before the call."""
        return []

    def remove(self, http: Http, secrets: Secrets, trace: Trace) -> None:
        """Take a `removable` trace away. One that is gone already is a success."""
        raise NotImplementedError

    def refresh(self, http: Http, secrets: Secrets) -> Mapping[str, str]:
        """New tokens for old ones: what changes in the credential. Called under a lock over all processes."""
        raise NotImplementedError

    def authorise_url(self, secrets: Secrets, state: str) -> str:
        """Where to send the customer to connect the account; empty where there is no such way."""
        return ""

    def authorised(self, http: Http, secrets: Secrets, query: Mapping[str, str]) -> Mapping[str, str]:
        """The customer came back from `authorise_url` with `query`: the tokens that it stands for."""
        raise NotImplementedError

    @abstractmethod
    def check(self, http: Http, secrets: Secrets) -> list[Check]:
        """Try the credentials; change nothing in the CRM."""

    def prepare(
        self, http: Http, secrets: Secrets, handler_url: str, lines: Mapping[str, str], settings: Settings
    ) -> None:
        """Set up in the CRM what the integration needs. Repeatable; once it went through, the account is connected.

        `lines`, number → name, are those whose calls are written; `settings` those of an active integration.
        """

    def retire(self, http: Http, secrets: Secrets) -> None:
        """Take down what `prepare` has set up: no active integration needs it any more. Repeatable."""

    def spelt(self, number: str) -> str:
        """A number of ours (E.164) as the customer must type it in the CRM; empty where the CRM needs none."""
        return ""

    def shown_as(self, secrets: Secrets) -> str:
        """What names the account in lists, until the customer gives it a name."""
        return secrets.get("domain", "")

    def connected(self, secrets: Secrets) -> bool:
        """Whether these secrets are enough to speak to the account: its tokens are there, where the CRM gives such."""
        return not self.token_fields or any(secrets.get(name) for name in self.token_fields)

    @property
    def tells(self) -> bool:
        """Whether this CRM sends us events."""
        return type(self).events is not Adapter.events

    @property
    def retires(self) -> bool:
        """Whether something of ours is to be taken down in it."""
        return type(self).retire is not Adapter.retire

    @property
    def prepares(self) -> bool:
        """Whether there is something to be set up in this CRM."""
        return type(self).prepare is not Adapter.prepare

    def users(self, http: Http, secrets: Secrets) -> list[CrmUser]:
        return []

    def choices(self, http: Http, secrets: Secrets, source: str) -> list[Choice]:
        """What a field of the settings with `data-source=source` may name, in the order in which it is shown."""
        raise NotImplementedError

    def calls(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> list[Listed]:
        """Calls of the period as they stand in the CRM, ours and those of others; of very many only the newest. (Of
        CRMs that have `LISTS_CALLS`.)"""
        raise NotImplementedError

    def number_of(self, progress: Mapping[str, Any]) -> str:
        """`Listed.id` of a call of ours, by its notes; empty where they do not say."""
        return ""

    def find_client(self, http: Http, secrets: Secrets, phone: str, deadline: float) -> ClientMatch | None:
        """Whom the CRM knows under `phone`, within `deadline` seconds."""
        raise NotImplementedError

    def able(self, secrets: Secrets) -> frozenset[Capability]:
        """What this account can: an adapter may need more keys for some of its capabilities than for calls."""
        return self.capabilities

    def read_contact(self, http: Http, secrets: Secrets, record: Record) -> dict[str, str]:
        """Values of a client's record by the names of `contact_fields`; what this kind of record has not is absent.
        Raises `Rejected` for a record that is gone."""
        raise NotImplementedError

    def save_contact(self, http: Http, secrets: Secrets, record: Record, changes: Mapping[str, str]) -> None:
        """Change these fields and nothing else. Repeating it does no harm."""
        raise NotImplementedError

    def create_contact(self, http: Http, secrets: Secrets, settings: Settings, contact: NewContact) -> ClientMatch:
        """Make a client. The house has looked that nobody has this phone."""
        raise NotImplementedError

    def create_task(self, http: Http, secrets: Secrets, settings: Settings, task: NewTask) -> str:
        """Set a task about a client: the address of its page (or of the client's, where it is shown), relative to the
        account's; empty where none is known."""
        raise NotImplementedError

    def refuse_call(self, http: Http, secrets: Secrets, event: DialRequested, why: str) -> None:
        """A call that the CRM asked for could not be made: close what the CRM opened for it."""

    def phone_page(self, request: Request, secrets: Secrets) -> PhonePage:
        """The page of phones, as the CRM asks for it; raises `Refused`. Nothing of it is secret, and nobody waits for
        the CRM."""
        raise Refused(404, "not_found")

    def phone_user(self, http: Http, secrets: Secrets, says: Mapping[str, str]) -> str:
        """Which user of the CRM looks at the page of phones; raises `Refused`, or `outbound.errors` where the CRM
        cannot be asked."""
        raise Refused(404, "not_found")

    def handshake(self, request: Request) -> Reply | None:
        """The answer to a request that is no event (a browser asks whether it may ask, say); None for an event.

        Nobody is proven and nothing is stored: answer what anybody may know.
        """
        return None

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """Prove the sender of an event; raises `Refused`."""
        raise Refused(404, "not_found")

    def reply(self, request: Request, secrets: Secrets) -> Reply:
        """What to answer once the event is on disk."""
        return Reply(body=b"")

    def events(self, request: Request, http: Http, secrets: Secrets) -> list[Event]:
        """What a stored event says."""
        return []

    def shown(self, request: Request) -> str:
        """The event as a person may read it, without secrets (the house masks once more)."""
        return request.body.decode("utf-8", "replace")

    def errors_help(self, error: OutboundError) -> str:
        """What a customer can do about this error; empty when nothing is known."""
        return ""
