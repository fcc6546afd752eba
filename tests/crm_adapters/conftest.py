"""An emulated account of each CRM in its turn, and how the house speaks with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.crm_adapters.calls import KNOWN, Account, Audio, account, operated
from tests.emulators.crm import Crm, emulated

CRMS = emulated()
SLUGS = sorted(CRMS)
MANAGER = "102"


@pytest.fixture(scope="module")
def audio() -> Iterator[Audio]:
    with Audio().serving() as found:
        yield found


@pytest.fixture(params=SLUGS)
def slug(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def crm(slug: str) -> Iterator[Crm]:
    with operated(CRMS[slug]()) as found:
        found.know(KNOWN, "Maria Known", found.users[MANAGER])
        yield found


@pytest.fixture
def house(crm: Crm, slug: str) -> Account:
    return account(crm, slug)
