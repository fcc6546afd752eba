"""An emulated account of each CRM in its turn, and how the house speaks with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from crm_adapters import registry
from crm_adapters.base import Capability
from tests.crm_adapters.calls import KNOWN, Account, Audio, account, operated
from tests.emulators.crm import Crm, emulated

CRMS = emulated()
SLUGS = sorted(CRMS)
MANAGER = "102"


def slugs_having(capability: Capability) -> list[str]:
    return [slug for slug in SLUGS if capability in registry.get(slug).capabilities]


def having(capability: Capability) -> pytest.MarkDecorator:
    """For tests of what not every CRM can."""
    return pytest.mark.parametrize("slug", slugs_having(capability))


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
