"""How often the database is asked for an answer."""

from __future__ import annotations

from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.api.conftest import Program


def asked(program: Program, path: str) -> int:
    """Of the second request: the first one fills what is remembered."""
    program.get(path)
    with CaptureQueriesContext(connection) as queries:
        assert program.get(path).status_code == 200
    return len(queries)
