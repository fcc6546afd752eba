"""The description of the API is true: whatever it allows is answered as it says, and nothing breaks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections
from hypothesis import HealthCheck, Phase, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from employees.api import keys
from tests.portal.conftest import build

pytestmark = pytest.mark.django_db

schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", get_wsgi_application())


@pytest.fixture(autouse=True)
def one_connection() -> Iterator[None]:
    """The end of a request does not close the connection that the test's transaction has, as with Django's client."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def headers(db: None) -> dict[str, str]:
    world = build("mine")
    return {"Authorization": f"Bearer {keys.issue(world.company, 'program', keys.SCOPES)[1]}"}


@schema.parametrize()
@settings(
    max_examples=5, deadline=None, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck)
)
def test_each_operation_is_as_described(case: Any, headers: dict[str, str]) -> None:
    # What the description allows may still be refused for what is there: a name that is taken, somebody unknown.
    case.call_and_validate(headers=headers, excluded_checks=[positive_data_acceptance])
