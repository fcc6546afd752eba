"""A running product between a real Asterisk and an emulated Bitrix24, and what must be there when calls are over."""

from __future__ import annotations

import hashlib
import itertools
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import requests

from tests.emulators.bitrix24 import Bitrix24Emulator, Client, PortalConfig
from tests.emulators.bitrix24.portal import Call as Card
from tests.emulators.bitrix24.portal import User
from tests.emulators.served import HttpServer, listening
from tests.faults.wires import Wire, Wires
from tests.stack import Stack, company, running, wait_until

from .calls import CALLS, Placed, Truth
from .lab import BROWSER, EXTENSIONS, SECRET, USER, Lab

DEFAULT = 1
"""The default responsible; every other user of the CRM has the number of his extension."""
PEOPLE = (*EXTENSIONS, BROWSER)
CODES = {"answered": "200", "missed": "304", "busy": "486"}
_clients = itertools.count(79_010_000_001)
WEB_USER, WEB_PASSWORD = "recordings", "web-secret"


class World:
    """One company between its PBX and its CRM."""

    def __init__(self, stack: Stack, lab: Lab, bitrix: Bitrix24Emulator, wire: Wire, recordings: str, managed: str):
        self.stack, self.lab, self.bitrix, self.wire = stack, lab, bitrix, wire
        self.managed = managed
        """A client whose personal manager is 119."""
        made = stack.provision(_company(bitrix.url, wire.port, lab.pbx.door, recordings))
        self.address: str = made["connections"]["pbx"]["webhook_url"]
        bitrix.fire_app_install(made["crm_credentials"]["portal"]["handler_url"])
        self.listening()

    def listens(self) -> bool:
        """Whether the product hears everything, as it knows."""
        return bool(self.stack.rows("SELECT 1 AS one FROM telephony_listening WHERE up_since IS NOT NULL"))

    def listening(self) -> None:
        wait_until(self.listens, lambda: f"nobody listens\n{self.logs()}")

    def logs(self) -> str:
        return "\n".join(self.stack.log(role)[-2000:] for role in self.stack.processes)

    # --- Calls

    def client(self) -> str:
        """A number that nobody has called from yet."""
        return str(next(_clients))

    def place(self, placed: Iterable[Placed] = ()) -> dict[str, Truth]:
        """Calls (of every kind, if none are named), all at once, each with a client of its own; what they were."""
        chosen = list(placed) or list(CALLS.values())
        with ThreadPoolExecutor(len(chosen)) as people:
            calling = {each.__name__: people.submit(each, self.lab, self.client()) for each in chosen}
            return {name: call.result() for name, call in calling.items()}

    def row(self, client: str) -> dict[str, Any]:
        """The only call with a client in the journal."""
        return self.stack.row("SELECT * FROM telephony_call WHERE client_phone = %s", f"+{client}")

    def wait_row(self, client: str, state: str) -> dict[str, Any]:
        """His call, as soon as it is in this state."""

        def known() -> list[dict[str, Any]]:
            sql = "SELECT * FROM telephony_call WHERE client_phone = %s AND state = %s"
            return self.stack.rows(sql, f"+{client}", state)

        (row,) = wait_until(known, lambda: f"{client} is not {state}: {self._known(client)}\n{self.logs()}")
        return row

    def _known(self, client: str) -> list[dict[str, Any]]:
        return self.stack.rows("SELECT * FROM telephony_call WHERE client_phone = %s", f"+{client}")

    def wait_card(self, client: str) -> Card:
        return wait_until(lambda: next(iter(self.cards(client)), None), f"no card of {client}")

    def cards(self, client: str) -> list[Card]:
        return [card for card in self.bitrix.calls if card.phone == f"+{client}"]

    def settle(self) -> None:
        """Nobody talks, and all that comes of it is done."""
        self.lab.quiet()
        sql = "SELECT * FROM telephony_call WHERE state <> 'finished'"
        wait_until(lambda: not self.stack.rows(sql), lambda: f"{self.stack.rows(sql)}\n{self.logs()}", timeout=40)
        self.work_off()

    def work_off(self) -> None:
        """The product has nothing left to do."""
        # Recordings are asked for some seconds after the end: now is as good.
        self.stack.rows("UPDATE telephony_recording SET due_at = '2000-01-01' WHERE state = 'ready'")
        self.stack.wait_quiet(20)

    # --- What must have become of them

    def agrees(self, truth: Truth, within: float = 1.0) -> None:
        """Journal and CRM have the call once, as it was; the length of the talk is right `within` so many seconds."""
        row = self.row(truth.client)
        assert (row["state"], row["direction"]) == ("finished", truth.direction)
        assert (row["outcome"], row["extension"]) == (truth.outcome, truth.extension)
        assert abs(row["talk_seconds"] - truth.talk) <= within
        (card,) = self.cards(truth.client)
        assert card.finish is not None
        assert [what for _, what, _ in card.history].count("finish") == 1
        person = int(truth.first or truth.extension) if truth.talk or truth.direction == "out" else DEFAULT
        assert (card.finish.user_id, card.finish.status_code) == (person, CODES[truth.outcome])
        assert card.finish.duration == row["talk_seconds"]
        assert len(list(self.bitrix.portal.find_by_phone(f"+{truth.client}"))) <= 1
        assert (card.record.sha256 if card.record else "") == self._sound(row) == self._file(truth)

    def _sound(self, row: dict[str, Any]) -> str:
        """The digest of the only recording of a call in the journal; none is empty."""
        sql = "SELECT state, sha256, error FROM telephony_recording WHERE call_id = %s"
        found = [each for each in self.stack.rows(sql, row["id"]) if each["state"] != "absent"]
        assert [each["state"] for each in found] in ([], ["stored"]), found
        return found[0]["sha256"] if found else ""

    def _file(self, truth: Truth) -> str:
        """The digest of what the PBX has recorded of it."""
        if not truth.recorded:
            return ""
        client = re.compile(rf"-(?:[78]{truth.client[1:]})-")
        (file,) = [path for path in self.lab.pbx.monitor.rglob("*.wav") if client.search(path.name)]
        assert file.stat().st_size > 44, "no sound"
        return hashlib.sha256(file.read_bytes()).hexdigest()

    def nothing_is_wrong(self) -> None:
        assert self.bitrix.violations == []
        assert [card.phone for card in self.bitrix.calls if card.live] == []
        assert not any(self.bitrix.portal.screens.values())
        assert self.stack.rows("SELECT path, error FROM telephony_inboxevent WHERE state = 2") == []
        assert self.stack.rows("SELECT error FROM integrations_callsync WHERE parked") == []

    # --- What an employee does in the portal

    def press(self, path: str) -> None:
        """A button of the portal."""
        with requests.Session() as browser:
            signin = f"{self.stack.url}/login/"
            browser.get(signin, timeout=10).raise_for_status()
            known = {"email": "owner@flowers.example", "password": "demo-Passw0rd-1"}
            for url, form in ((signin, known), (self.stack.url + path, {})):
                token = {"csrfmiddlewaretoken": browser.cookies["callbridge_csrf"]}
                page = browser.post(url, form | token, headers={"Referer": url}, timeout=20)
                assert page.ok, page.text
                assert not page.url.startswith(signin), "nobody is signed in"


def _company(bitrix_url: str, ami_port: int, door: str, recordings: str) -> dict[str, Any]:
    row = company("", bitrix_url)
    row["employees"] = [{"name": f"Operator {each}", "extensions": [str(each)], "phones": []} for each in PEOPLE]
    row["connections"][0] |= {
        "provider": "asterisk",
        "brand": "asterisk",
        "name": "Asterisk",
        "credentials": {
            "ami_host": "127.0.0.1",
            "ami_port": ami_port,
            "ami_tls": "no",
            "ami_user": USER,
            "ami_secret": SECRET,
            "trunks": "provider",
            "extensions": "_1XX",
            "dial_channel": "PJSIP/{extension}",
            "dial_context": "from-internal",
            "transfer_context": "from-internal",
            "sip_address": door,
            "timezone": "UTC",
            "recordings": "web",
            "recordings_url": recordings,
            "recordings_user": WEB_USER,
            "recordings_password": WEB_PASSWORD,
        },
        "numbers": [],
    }
    row["integrations"][0]["settings"] |= {"forward_to_personal_manager": True}
    row["integrations"][0]["employee_mapping"] = [
        {"extension": str(each), "crm_user": str(each), "use_for_personal_manager": True} for each in PEOPLE
    ]
    return row


class _Web(SimpleHTTPRequestHandler):
    """A web server on the PBX that shows its folder of recordings to who knows the password."""

    def do_GET(self) -> None:
        known = b64encode(f"{WEB_USER}:{WEB_PASSWORD}".encode()).decode()
        if self.headers["Authorization"] == f"Basic {known}":
            super().do_GET()
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="recordings"')
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@contextmanager
def web_folder(folder: Path) -> Iterator[str]:
    """Its address."""
    with listening(HttpServer(("127.0.0.1", 0), partial(_Web, directory=str(folder)))) as port:
        yield f"http://127.0.0.1:{port}/"


@contextmanager
def world(kind: str, lab: Lab, folder: Path) -> Iterator[World]:
    users = [User(each, "Operator", str(each), str(each)) for each in PEOPLE]
    managed = str(next(_clients))
    config = PortalConfig(bucket_size=500)
    config.users = [User(DEFAULT, "Admin", "Portal", admin=True), *users]
    config.clients = [Client("CONTACT", 700, "Pavel Managed", (f"+{managed}",), 119)]
    with ExitStack() as exits:
        wire = exits.enter_context(Wires("asterisk")).lay(lab.pbx.ami_port)
        recordings = exits.enter_context(web_folder(lab.pbx.monitor))
        bitrix = exits.enter_context(Bitrix24Emulator([config]))
        stack = exits.enter_context(running(kind, folder, listens=True))
        yield World(stack, lab, bitrix, wire, recordings, managed)
