"""A lab for each file of tests: it is up in a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import needs

from .lab import Lab
from .lab import lab as running_lab
from .packages import Missing, release


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    try:
        found = release()
    except Missing as error:
        needs(str(error))
        raise
    with running_lab(found) as lab:
        yield lab
