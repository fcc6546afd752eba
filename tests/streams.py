"""A person who is signed in by HTTP, and the stream of his calls as a browser reads it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

import requests

from tests.stack import Stack, wait_until

PASSWORD = "demo-Passw0rd-1"
OPERATORS = """
from employees.models import Company, Employee, Membership, Role, User
for company_name, name, email in {people!r}:
    company = Company.objects.get(name=company_name)
    user = User.objects.create_user(email, {password!r}, first_name=name)
    Membership.objects.create(company=company, user=user, role=Role.OPERATOR)
    Employee.objects.filter(company=company, name__startswith=name).update(user=user)
"""


def make_operators(stack: Stack, *people: tuple[str, str, str]) -> None:
    """Employees of a company, by the beginning of their names, who sign in with an e-mail."""
    stack.shell(OPERATORS.format(people=people, password=PASSWORD))


def sign_in(stack: Stack, email: str) -> requests.Session:
    person = requests.Session()
    person.get(f"{stack.url}/login/", timeout=5)
    form = {"email": email, "password": PASSWORD, "csrfmiddlewaretoken": person.cookies["callbridge_csrf"]}
    answer = person.post(f"{stack.url}/login/", form, allow_redirects=False, timeout=5)
    assert answer.status_code == 302, answer.text
    return person


class Stream:
    """What a stream has told. `ended`: the server has closed it. `place`: what a browser names when it comes again."""

    def __init__(self, answer: HTTPResponse):
        self.calls: list[dict[str, Any]] = []
        self.kinds: list[str] = []
        self.place = ""
        self.blocks = 0
        self.ended = threading.Event()
        self._answer = answer
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with suppress(OSError, HTTPException):
            for line in iter(self._answer.readline, b""):
                self._take(*line.decode().strip().partition(": ")[::2])
        self.ended.set()

    def _take(self, name: str, value: str) -> None:
        if not name and not value:
            self.blocks += 1
        elif name == "event":
            self.kinds.append(value)
        elif name == "id":
            self.place = value
        elif name == "data" and self.kinds[-1] == "call":
            self.calls.append(json.loads(value))

    def told(self, *, over: bool) -> dict[str, Any]:
        """The first call of which it was told in this state."""
        return wait_until(
            lambda: next((call for call in list(self.calls) if call["over"] == over), None), lambda: f"{self.calls}"
        )


@contextmanager
def listening(
    stack: Stack, person: requests.Session, place: str = "", port: int = 0, path: str = "/card/live/"
) -> Iterator[Stream]:
    """`port`: of another web process than the usual one. The server has joined it when this begins."""
    line = HTTPConnection("127.0.0.1", port or stack.port, timeout=60)
    line.connect()
    sock = line.sock
    cookies = "; ".join(f"{name}={value}" for name, value in person.cookies.items())
    line.request("GET", path, headers={"Cookie": cookies} | ({"Last-Event-ID": place} if place else {}))
    answer = line.getresponse()
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    stream = Stream(answer)
    try:
        wait_until(lambda: stream.blocks > 1 or stream.ended.is_set(), "the first block of a stream")
        yield stream
    finally:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        stream.ended.wait(5)
        line.close()
