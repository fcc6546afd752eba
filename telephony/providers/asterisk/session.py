"""A short AMI session for commands and questions: log in without events, ask, leave.

Source: Asterisk's `main/manager.c`; what it answers to wrong input was recorded (`samples/ami_errors.json`).
"""

from __future__ import annotations

import itertools
import ssl
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from outbound.errors import CredentialsRefused, DeadlineExceeded, OutboundError, Rejected, Temporary, VendorFault
from outbound.guard import open_socket
from outbound.http import Exchange, Http
from outbound.masking import mask
from telephony.providers.base import Secrets

from .forms import ANY_CERTIFICATE, PLAIN
from .wire import Message, Messages, action, proof

MOST_ROWS = 20_000
_CONNECT_SECONDS = 5.0
REFUSED = "Authentication failed"


def tls(secrets: Secrets) -> ssl.SSLContext | None:
    """How the connection is encrypted, as the customer says."""
    kind = secrets.get("ami_tls", PLAIN)
    if kind == PLAIN:
        return None
    context = ssl.create_default_context()
    if kind == ANY_CERTIFICATE:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def port(secrets: Secrets) -> int:
    try:
        return int(secrets.get("ami_port") or 5038)
    except ValueError as error:
        raise Rejected("the port of AMI is no number", code="port") from error


def login(secrets: Secrets, challenge: str, *, events: bool) -> dict[str, str]:
    return {
        "AuthType": "MD5",
        "Username": secrets.get("ami_user", ""),
        "Key": proof(challenge, secrets.get("ami_secret", "")),
        "Events": "on" if events else "off",
    }


def refusal(answer: Message) -> OutboundError:
    """What an answer that is no success means. Source: recorded answers."""
    words = f"AMI: {answer['message'] or 'refused'}"
    if REFUSED.lower() in words.lower():
        return CredentialsRefused(words, code="login")
    if "permission denied" in words.lower():
        return CredentialsRefused(words, code="permission")
    return Rejected(words, code="refused")


class Session:
    """A context manager; raises `outbound.errors`. Each action and its answer are recorded, without secrets."""

    def __init__(self, http: Http, secrets: Secrets, *, deadline: float | None = None):
        self._http, self._secrets = http, secrets
        self._end = time.monotonic() + (http.deadline if deadline is None else deadline)
        self._messages, self._waiting = Messages(), list[Message]()
        self._ids = itertools.count(1)
        self._url = f"ami://{secrets.get('ami_host', '')}:{port(secrets)}"

    def __enter__(self) -> Self:
        host = self._secrets.get("ami_host", "")
        timeout = min(_CONNECT_SECONDS, self._left())
        self._socket = open_socket(host, port(self._secrets), allow_private=self._http.allow_private, timeout=timeout)
        try:
            if context := tls(self._secrets):
                self._socket = context.wrap_socket(self._socket, server_hostname=host)
            challenge = self.ask("Challenge", AuthType="MD5")
            self.ask("Login", **login(self._secrets, challenge["challenge"], events=False))
        except ssl.SSLError as error:
            self._socket.close()
            raise Temporary(f"TLS: {error.reason or error}", code="tls") from error
        except OSError as error:
            self._socket.close()
            raise Temporary(f"{error}", code="connection") from error
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, name: str, action_id: str = "", **fields: str | Iterable[str]) -> Message:
        """The answer to an action; raises what a refusal means."""
        number = action_id or f"callbridge-{next(self._ids)}"
        answer = self._exchange(name, {"ActionID": number, **fields}, number)[0]
        if not answer.ok and answer["response"].lower() != "follows":
            raise refusal(answer)
        return answer

    def rows(self, name: str, **fields: str) -> list[Message]:
        """The events of a list."""
        number = f"callbridge-{next(self._ids)}"
        answer, *rows = self._exchange(name, {"ActionID": number, **fields}, number, listed=True)
        if not answer.ok:
            raise refusal(answer)
        return rows

    def _exchange(
        self, name: str, fields: dict[str, str | Iterable[str]], number: str, *, listed: bool = False
    ) -> list[Message]:
        began, at, sent = time.monotonic(), datetime.now(UTC), action(name, fields)
        answers: list[Message] = []
        failure = ""
        left = False
        try:
            self._socket.settimeout(self._left())
            self._socket.sendall(sent)
            left = True
            answers = self._answers(number, listed)
            return answers
        except TimeoutError as error:
            failure = "no answer in time"
            raise DeadlineExceeded(failure, code="timeout", fate_unknown=left) from error
        except OSError as error:
            failure = f"the connection broke: {error}"
            raise Temporary(failure, code="connection", fate_unknown=left) from error
        except OutboundError as error:
            failure = error.words
            error.fate_unknown = left
            raise
        finally:
            self._record(name, sent, answers, at, began, failure)

    def _answers(self, number: str, listed: bool) -> list[Message]:
        found: list[Message] = []
        while True:
            message = self._next()
            if message["actionid"] != number:
                continue
            if not found and "response" not in message:
                continue
            found.append(message)
            if len(found) > MOST_ROWS:
                raise VendorFault("the list of the PBX has no end", code="too_large")
            if not listed or not found[0].ok or message["eventlist"].lower() in ("complete", "cancelled"):
                return found[:1] if not listed else [row for row in found if row["eventlist"].lower() != "complete"]
            if len(found) == 1 and message["eventlist"].lower() != "start":
                return found

    def _next(self) -> Message:
        while not self._waiting:
            self._socket.settimeout(self._left())
            if not (data := self._socket.recv(65_536)):
                raise VendorFault("the PBX closed the connection", code="closed")
            self._waiting = self._messages.feed(data)
        return self._waiting.pop(0)

    def _left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded("no answer in time", code="timeout")
        return left

    def _record(self, name: str, sent: bytes, answers: list[Message], at: datetime, began: float, failure: str) -> None:
        secrets = [*self._http.secrets, *([] if name != "Login" else [self._key(sent)])]
        told = "\n\n".join("\n".join(f"{key}: {value}" for key, value in each.items()) for each in answers[:50])
        self._http.record(
            Exchange(
                at=at,
                method="AMI",
                url=self._url,
                request=mask(sent.decode("utf-8", "replace").replace("\r\n", "\n").strip(), secrets),
                status=None,
                answer=mask(told, secrets),
                milliseconds=round((time.monotonic() - began) * 1000),
                error=mask(failure, secrets, 500),
            )
        )

    @staticmethod
    def _key(sent: bytes) -> str:
        """The proof of a login opens nothing again, but belongs into no log."""
        return sent.decode().partition("Key: ")[2].partition("\r\n")[0]
