"""Every address of the API: another company's rows are not found there, and one's own are."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from django.urls import URLPattern, get_resolver

from config import api  # noqa: F401  (all rooms register their resources)
from employees.api import keys
from employees.api.routes import router
from integrations import renewals
from tests import factories as make
from tests.api.conftest import Program
from tests.portal.conftest import World

Of = Callable[[World], Any]


def _import(world: World) -> Any:
    return make.HistoryRunFactory(connection=world.connection, kind="import", error=f"{world.name} words").uuid


def _missed(world: World) -> Any:
    return make.CallFactory(connection=world.connection, outcome="missed").uuid


def _planned(world: World) -> Any:
    return make.PlannedCallFactory(company=world.company, words=f"{world.name} words").uuid


def _command(world: World) -> Any:
    return make.CommandFactory(connection=world.connection).uuid


def _key(world: World) -> Any:
    return keys.issue(world.company, f"{world.name} key", ["people:read"])[0].uuid


def _link(world: World) -> Any:
    return renewals.make(world.credential, by=world.name).uuid


def _trial(world: World) -> Any:
    return make.CallFactory(connection=world.connection, source="trial").uuid


ARGUMENTS: dict[str, Of] = {
    "companies": lambda w: w.company.uuid,
    "embed_links": lambda w: w.company.uuid,
    "members": lambda w: w.member.pk,
    "invitations": lambda w: w.invitation.uuid,
    "employees": lambda w: w.employee.uuid,
    "extensions": lambda w: make.ExtensionFactory(company=w.company, number=f"7{w.company.pk}").number,
    "keys": _key,
    "brands": lambda w: "mango",
    "connections": lambda w: w.connection.uuid,
    "numbers": lambda w: w.number.pk,
    "imports": _import,
    "calls": lambda w: w.call.uuid,
    "recordings": lambda w: w.recording.uuid,
    "commands": _command,
    "comments": lambda w: w.comment.pk,
    "missed": _missed,
    "planned": _planned,
    "reports": lambda w: "employee",
    "clients": lambda w: w.client.uuid,
    "health": lambda w: w.company.uuid,
    "passports": lambda w: w.call.uuid,
    "crms": lambda w: "bitrix24",
    "credentials": lambda w: [w.credential.uuid, "users"],
    "credential-links": lambda w: [w.credential.uuid, _link(w)],
    "integrations": lambda w: w.integration.uuid,
    "rules": lambda w: [w.integration.uuid, w.rule.uuid],
    "exports": lambda w: make.ExportFactory(company=w.company, asked_by=w.member.user).uuid,
    "test-calls": _trial,
    "webhooks": lambda w: make.WebhookEndpointFactory(company=w.company).uuid,
}
"""What names a row in the addresses of a resource. A new resource with such addresses must be added here, and is then
walked by every test. Where addresses have several arguments: all of them in a list, of which an address takes the first
ones."""
OF_NOBODY = {"brands", "reports", "crms"}
"""Resources whose addresses name no row of a company."""
WITH: dict[str, Of] = {
    "recordings-list": lambda w: f"?call={w.call.uuid}",
    "coverage-list": lambda w: f"?connection={w.connection.uuid}",
}
"""Parameters that a list must have."""


BODIES: dict[str, Any] = {"rules-order": {"rules": []}}
"""What must be sent so that a row is looked for at all."""
OF_PARTNERS = {"partner"}
"""Resources that a company's key does not reach."""


@dataclass(frozen=True)
class Route:
    name: str
    path: str
    method: str

    @property
    def resource(self) -> str:
        """The longest one that the name begins with."""
        found = [name for _prefix, _view, name in router.registry if self.name.startswith(f"{name}-")]
        return max(found, key=len, default=self.name.rpartition("-")[0])

    @property
    def names_a_row(self) -> bool:
        return "<" in self.path

    def address(self, world: World) -> str:
        given = ARGUMENTS[self.resource](world) if self.names_a_row else []
        values = iter(given if isinstance(given, list) else [given])
        return re.sub("<[^>]+>", lambda _match: str(next(values)), self.path)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def routes() -> list[Route]:
    return [
        Route(str(url.name), str(url.pattern), method.upper())
        for url in cast("list[URLPattern]", router.urls)
        for method in cast("Any", url.callback).actions
        if method in ("get", "post", "put", "patch", "delete")
    ]


WITH_A_ROW = [route for route in routes() if route.names_a_row]
LISTS = [
    route for route in routes() if route.method == "GET" and not route.names_a_row and route.resource not in OF_PARTNERS
]


def text(answer: Any) -> str:
    return b"".join(answer).decode("utf-8", "replace")


def test_every_resource_with_rows_says_how_they_are_named():
    assert {route.resource for route in WITH_A_ROW} <= ARGUMENTS.keys(), "add it to ARGUMENTS"


def test_all_addresses_of_the_api_are_walked():
    """But those that are no resources: the description and the problems."""
    (ours,) = [cast("Any", url) for url in get_resolver().url_patterns if str(url.pattern) == "api/"]
    others = {url.name for url in ours.url_patterns if getattr(url, "name", None)}
    assert others == {"api_schema", "api_reference", "api_try", "api_problem"}


@pytest.mark.parametrize("route", WITH_A_ROW, ids=str)
def test_another_companys_rows_are_not_found(route: Route, program: Program, theirs: World) -> None:
    body = None if route.method == "GET" else BODIES.get(route.name, {})
    answer = program.ask(route.method, route.address(theirs), body)
    if route.resource in OF_NOBODY:
        assert "theirs" not in text(answer)
    else:
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert "theirs" not in text(answer)


@pytest.mark.parametrize("route", [route for route in WITH_A_ROW if route.method == "GET"], ids=str)
def test_ones_own_rows_are_found(route: Route, program: Program, mine: World) -> None:
    """Else the test above would prove nothing."""
    assert program.get(route.address(mine)).status_code != 404


@pytest.mark.parametrize("route", LISTS, ids=str)
def test_lists_have_nothing_of_another_company(route: Route, program: Program, mine: World, theirs: World) -> None:
    for make_row in (_import, _missed, _planned, _command, _key):
        make_row(theirs)
    answer = program.get(route.path + WITH.get(route.name, lambda _world: "")(mine))
    told = text(answer)
    assert answer.status_code == 200, told
    assert "theirs" not in told
    assert str(theirs.company.uuid) not in told
    if route.name in WITH:
        assert program.get(route.path + WITH[route.name](theirs)).status_code in (404, 422)


@pytest.mark.parametrize("route", routes(), ids=str)
def test_without_a_key_nothing_is_told(route: Route, mine: World) -> None:
    assert Program("").ask(route.method, route.address(mine)).status_code == 401
