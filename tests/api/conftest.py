"""A program with a key, as it speaks to the API."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from employees.api import keys
from employees.models import Company, Partner
from tests import factories as make
from tests.portal.conftest import World, build, silent_vendors, streams_end  # noqa: F401  (fixtures)


class Program:
    """Requests with a key. Answers have `status_code`, `json()`, `headers`."""

    def __init__(self, secret: str, **headers: str) -> None:
        self.headers = {"authorization": f"Bearer {secret}", "accept-language": "en", **headers}

    def of(self, company: Company) -> Program:
        """The same key, about this company."""
        program = Program("")
        program.headers = {**self.headers, "callbridge-company": str(company.uuid)}
        return program

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data: dict[str, Any] = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        return Client().generic(method, f"/api/v1/{path}", headers={**self.headers, **named}, **data)

    def get(self, path: str, **headers: str) -> Any:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.ask("POST", path, {} if body is None else body, **headers)

    def patch(self, path: str, body: Any, **headers: str) -> Any:
        return self.ask("PATCH", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> Any:
        return self.ask("PUT", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self.ask("DELETE", path, **headers)


@pytest.fixture
def mine(db: None) -> World:
    return build("mine")


@pytest.fixture
def theirs(db: None) -> World:
    return build("theirs")


@pytest.fixture
def key(db: None) -> Callable[..., Program]:
    """A program of a company or a partner; with every scope unless told."""

    def issue(owner: Company | Partner, *scopes: str, **options: Any) -> Program:
        return Program(keys.issue(owner, "program", scopes or keys.SCOPES, **options)[1])

    return issue


@pytest.fixture
def program(mine: World, key: Callable[..., Program]) -> Program:
    """A program of `mine` that may do everything."""
    return key(mine.company)


@pytest.fixture
def partner(db: None) -> Partner:
    return make.PartnerFactory()


@pytest.fixture
def reseller(partner: Partner, key: Callable[..., Program]) -> Program:
    """A program of `partner` that may do everything."""
    return key(partner)
