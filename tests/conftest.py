"""What every test stands on: an environment of its own (a clean clone has no .env) and a scratch folder."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import sys
import tempfile
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings


def _clean_up(folder: str) -> None:
    if (Path(folder) / "empty-production").exists():
        from tests.stack import forget_empty

        forget_empty()
    shutil.rmtree(folder, ignore_errors=True)


def _environment() -> None:
    """Once for all processes of a test run: those of xdist inherit it. Before anything of Django's is imported."""
    if "CALLBRIDGE_TESTS" in os.environ:
        return
    # The product's processes, a hundred of them, would compile it anew each time.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    folder = tempfile.mkdtemp(prefix="callbridge-tests-")
    atexit.register(_clean_up, folder)
    os.environ |= {
        "CALLBRIDGE_TESTS": folder,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEBUG": "0",
        "SECRET_KEY": secrets.token_hex(32),
        "FIELD_ENCRYPTION_KEY": urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "DATA_DIR": folder,
        "DATABASE_URL": os.environ.get("TEST_DATABASE_URL") or f"sqlite:///{folder}/callbridge.sqlite3",
        "BROKER_URL": "memory://",
        "CACHE_URL": "locmemcache://callbridge-tests",
        "ALLOW_PRIVATE_HOSTS": "1",
        "LOG_LEVEL": "ERROR",
        "LOG_JSON": "0",
        "METRICS_TOKEN": "",
        "SIGN_UP": "1",
        "SOCIAL_PROVIDERS": "",
        "EMAIL_URL": "",
        "TELEGRAM_BOT_TOKEN": "",
        "S3_BUCKET": "",
    }


_environment()
django.setup()
# The real hasher takes its time on purpose. The product in processes of its own has that one.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors: much of the suite waits for processes of its own."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests share what is dear to start (a product, a browser): those of one stack stay in one process."""
    if config.getvalue("dist") != "load":
        return None
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    class ByFileAndStack(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            return f"{file} {next((kind for kind in KINDS if kind in test.partition('[')[2]), '')}"

    config.option.loadscopereorder = False  # else by number of tests, which says nothing of their time
    return ByFileAndStack(config, log)


KINDS = ("embedded", "production")
LONG = (
    "tests/faults/",
    "tests/scenarios/",
    "tests/asterisk/",
    "tests/telephony/test_providers.py",
    "tests/crm_adapters/test_adapters.py",
    "tests/browser/",
    "tests/demo/",
)
"""Files whose tests take minutes come first, so that nobody waits for the last of them alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: _turn(item.nodeid))


def _turn(nodeid: str) -> int:
    return next((place for place, path in enumerate(LONG) if nodeid.startswith(path)), len(LONG))


def needs(missing: str) -> None:
    """Skip with `missing` as the reason, where there is one; where everything must be there (CI) fail instead."""
    if not missing:
        return
    if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(missing, pytrace=False)
    pytest.skip(missing)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Each process of a run begins with a copy of one empty database."""
    from tests.stack import empty_sqlite

    if settings.SQLITE:
        shutil.copyfile(empty_sqlite(), settings.DATABASES["default"]["TEST"]["NAME"])


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Whether that copy is taken as it is; it goes with the run's folder."""
    return settings.SQLITE


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    """What a process remembers of configuration is that of the test before: the database went back, it did not."""
    from django.core.cache import cache

    from employees import installation
    from integrations import directory as integrations_directory
    from integrations import sync
    from telephony import apart
    from telephony import directory as telephony_directory

    cache.clear()
    apart._until.clear()
    sync.ending.clear()
    installation.seen = -1
    telephony_directory._memory = telephony_directory._Memory()
    integrations_directory._memory = integrations_directory._Memory()


STACKS = ["embedded", pytest.param("production", marks=pytest.mark.postgres)]
"""The two ways to run the product, for `pytest.mark.parametrize` and `pytest.fixture(params=…)`."""


@pytest.fixture(scope="module", params=STACKS)
def kind(request: pytest.FixtureRequest) -> str:
    """A stack that can be started here."""
    from tests.stack import production_missing

    if request.param == "production":
        needs(production_missing())
    return str(request.param)
