"""Listening to a PBX: log in, look what goes on, then read whatever comes.

Reading never waits for anything: what is found is handed on at once. A PBX drops who does not read (`writetimeout`).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import ssl
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from outbound.errors import CredentialsRefused, DeadlineExceeded, OutboundError, Temporary, VendorFault
from telephony.providers.base import Line, Listener, Request, Secrets

from . import session
from .reader import Reader, Told
from .wire import Message, Messages, action

PATH = "ami"
PING, PONG = 20.0, 10.0
ANSWER = 15.0
LOOK_AROUND = 300.0
"""Seconds after which all channels are listed once more: what was lost is found then."""
VARIABLES = ("FROM_DID", "MIXMONITOR_FILENAME", "CDR(answer,u)")


def request_of(told: Told) -> Request:
    """What is told, as it is stored: to be read by a person and by `events.read`."""
    return Request("POST", PATH, json.dumps(told, ensure_ascii=False, indent=1).encode(), remote="")


class AmiListener(Listener):
    def __init__(self, secrets: Secrets):
        self._secrets = secrets
        self._reader = Reader()

    async def listen(self, line: Line) -> None:
        port = session.port(self._secrets)
        reader, writer = await line.connect(self._secrets.get("ami_host", ""), port, session.tls(self._secrets))
        connected = _Connected(reader, writer, line, self._reader)
        try:
            await connected.run(self._secrets)
        finally:
            writer.close()
            with suppress(Exception):
                await asyncio.wait_for(writer.wait_closed(), 1)


class _Connected:
    """One connection, from the login to its end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: Line, calls: Reader):
        self._in, self._out, self._line, self._calls = reader, writer, line, calls
        self._numbers = itertools.count(1)
        self._asked: dict[str, _Asked] = {}

    async def run(self, secrets: Secrets) -> None:
        """Until the connection breaks: raises `outbound.errors`."""
        reading = asyncio.create_task(self._read())
        asking = asyncio.create_task(self._ask_on(secrets))
        try:
            done, _ = await asyncio.wait({reading, asking}, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda task: task is reading):  # a refusal says more than the cut after it
                task.result()
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError) as error:
            raise Temporary(f"the connection broke: {error}", code="connection") from error
        finally:
            for task in (reading, asking):
                task.cancel()
            await asyncio.gather(reading, asking, return_exceptions=True)

    # --- Reading

    async def _read(self) -> None:
        messages = Messages()
        while data := await self._in.read(65_536):
            for message in messages.feed(data):
                self._take(message)
        for asked in self._asked.values():
            asked.fail(Temporary("the PBX closed the connection", code="closed"))
        raise Temporary("the PBX closed the connection", code="closed")

    def _take(self, message: Message) -> None:
        asked = self._asked.get(message["actionid"])
        if asked and asked.takes(message):
            return
        self._tell(self._calls.hear(message, datetime.now(UTC)))

    def _tell(self, told: Iterable[Told]) -> None:
        for each in told:
            self._line.heard(request_of(each))

    # --- Asking

    async def _ask_on(self, secrets: Secrets) -> None:
        await self._log_in(secrets)
        loop = asyncio.get_running_loop()
        await self._look_around(datetime.now(UTC))
        looked = loop.time()
        while True:
            await asyncio.sleep(PING)
            await self._ask("Ping", within=PONG)
            if loop.time() - looked > LOOK_AROUND:
                await self._look_around(None)
                looked = loop.time()

    async def _log_in(self, secrets: Secrets) -> None:
        challenge = (await self._ask("Challenge", {"AuthType": "MD5"}))[0]
        if not challenge.ok:
            raise session.refusal(challenge)
        answer = (await self._ask("Login", session.login(secrets, challenge["challenge"], events=True)))[0]
        if not answer.ok:
            raise session.refusal(answer)

    async def _look_around(self, since: datetime | None) -> None:
        """What goes on now; of calls that we do not know also what their variables say."""
        answer, *rows = await self._ask("CoreShowChannels", listed=True)
        if not answer.ok:
            raise CredentialsRefused(f"AMI: CoreShowChannels: {answer['message']}", code="permission")
        listed = [row for row in rows if row.event == "CoreShowChannel"]
        clock = (await self._ask("Ping", within=PONG))[0]["timestamp"]
        variables = {
            row["uniqueid"]: {**await self._variables(row["channel"]), "EPOCH": clock}
            for row in listed
            if row["uniqueid"] == row["linkedid"] and row["uniqueid"] not in self._calls.calls
        }
        self._tell(self._calls.see(listed, datetime.now(UTC), variables, since))
        self._line.up(frozenset(self._calls.calls))

    async def _variables(self, channel: str) -> dict[str, str]:
        """Empty where we may not ask, or where the channel is gone meanwhile."""
        found = {}
        for name in VARIABLES:
            answer = (await self._ask("Getvar", {"Channel": channel, "Variable": name}))[0]
            if answer.ok:
                found[name] = answer["value"]
        return found

    async def _ask(
        self, name: str, fields: Mapping[str, str] | None = None, *, listed: bool = False, within: float = ANSWER
    ) -> list[Message]:
        number = f"callbridge-{next(self._numbers)}"
        asked = self._asked[number] = _Asked(listed)
        try:
            self._out.write(action(name, {"ActionID": number, **(fields or {})}))
            await asyncio.wait_for(self._out.drain(), within)
            return await asyncio.wait_for(asked.answer, within)
        except TimeoutError as error:
            raise DeadlineExceeded(f"AMI: no answer to {name} in time", code="timeout") from error
        finally:
            del self._asked[number]


class _Asked:
    """An action of ours that is not answered yet."""

    def __init__(self, listed: bool):
        self.answer: asyncio.Future[list[Message]] = asyncio.get_running_loop().create_future()
        self._listed = listed
        self._rows: list[Message] = []

    def takes(self, message: Message) -> bool:
        if not self._rows and not message["response"]:
            return False
        self._rows.append(message)
        whole = not self._listed or not self._rows[0].ok or message["eventlist"].lower() == "complete"
        if len(self._rows) > session.MOST_ROWS:
            self.fail(VendorFault("the list of the PBX has no end", code="too_large"))
        elif whole and not self.answer.done():
            self.answer.set_result(self._rows)
        return True

    def fail(self, error: OutboundError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


# --- Recorded streams -------------------------------------------------------------------------------------------------


def overheard(sample: Mapping[str, Any], folder: Path) -> list[Request]:
    """What we would have told of a recorded stream, by the moments at which its messages came (`timeline`)."""
    name = str(sample.get("ami_file", ""))
    if not name:
        return []
    messages = Messages().feed((folder / Path(name).name).read_bytes())
    moments = {int(number): float(second) for number, second in sample.get("timeline", [])}
    began = datetime.now(UTC) - timedelta(seconds=max(moments.values(), default=0.0) + 1)
    reader, told, listed = Reader(), list[Told](), list[Message]()
    variables = _recorded_variables(sample, messages)
    for number, message in enumerate(messages):
        at = began + timedelta(seconds=moments.get(number, 0.0))
        if message.event == "CoreShowChannel":
            listed.append(message)
        elif message.event == "CoreShowChannelsComplete":
            told += reader.see(listed, at, variables)
        else:
            told += reader.hear(message, at)
    return [request_of(each) for each in told]


def _recorded_variables(sample: Mapping[str, Any], messages: Iterable[Message]) -> dict[str, dict[str, str]]:
    """The answers to recorded questions for variables, by the Uniqueid of their channel."""
    asked = {}
    for exchange in sample.get("exchanges", []):
        fields = dict(line.partition(": ")[::2] for line in str(exchange.get("body", "")).split("\r\n"))
        if fields.get("Action") == "Getvar":
            asked[fields["ActionID"]] = (fields["Channel"], fields["Variable"])
    messages = list(messages)
    ids = {row["channel"]: row["uniqueid"] for row in messages if row.event == "CoreShowChannel"}
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for message in messages:
        if message["actionid"] in asked and message.ok:
            channel, variable = asked[message["actionid"]]
            found[ids.get(channel, "")][variable] = message["value"]
    return found
