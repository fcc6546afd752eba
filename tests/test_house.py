"""The rules of the house: who may know whom, what happens at import, and what is refused at the start."""

from __future__ import annotations

import gettext
import os
import re
import secrets
import shutil
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core import checks
from django.db import models
from django.db.migrations import Migration, operations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState

from crm_adapters import registry as crms
from employees.operations import AddIndexConcurrently, AddUniqueConcurrently
from telephony.providers import registry as pbxs
from tests.conftest import needs
from tests.stack import ROOT, empty_sqlite

ROOMS = ("config", "integrations", "telephony", "clients", "employees", "crm_adapters", "outbound", "templates")


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, with the environment of the tests and these changes."""
    command = [sys.executable, *arguments]
    env = os.environ | environment
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)


def fresh_key() -> str:
    return urlsafe_b64encode(secrets.token_bytes(32)).decode()


# --- Who knows whom


def test_imports_point_one_way():
    done = python("-c", "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))")
    assert done.returncode == 0, done.stdout


def vendors() -> list[Any]:
    return [*pbxs.all_providers().values(), *crms.all_adapters().values()]


def vendors_words() -> set[str]:
    """What the vendors are called: families, brands, titles."""
    words = {word for vendor in vendors() for word in (vendor.slug, vendor.title)}
    brands = [brand for provider in pbxs.all_providers().values() for brand in provider.brands]
    return words | {word for brand in brands for word in (brand.slug, brand.title)}


def sources() -> Iterator[Path]:
    """The house's own files: those of the vendors' folders are theirs."""
    own = {vendor.folder for vendor in vendors()}
    for room in ROOMS:
        for file in (ROOT / room).rglob("*"):
            if file.suffix in {".py", ".html", ".js", ".css", ".txt"} and not own & set(file.parents):
                yield file


def test_no_vendor_is_named_outside_its_folder():
    named = re.compile("|".join(rf"(?<![a-z]){re.escape(word)}(?![a-z])" for word in vendors_words()), re.IGNORECASE)
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in sources()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if named.search(line)
    ]
    assert found == []


def test_every_vendors_folder_has_its_guide_in_both_languages():
    for vendor in vendors():
        assert (vendor.folder / "guide.ru.md").read_text(encoding="utf-8").strip()
        assert (vendor.folder / "guide.en.md").read_text(encoding="utf-8").strip()


# --- What happens at import

QUIET = """
import threading, django
django.setup()
import {module}
from django.db import connection
assert connection.connection is None, "a connection to the database"
assert threading.active_count() == 1, threading.enumerate()
"""


@pytest.mark.parametrize("module", ["telephony.actors", "integrations.actors", "config.asgi", "config.urls"])
def test_an_import_starts_nothing(module: str):
    done = python("-c", QUIET.format(module=module))
    assert done.returncode == 0, done.stderr


# --- The start

PRODUCTION = {
    "PUBLIC_URL": "https://calls.example.com",
    "DATABASE_URL": "postgres://callbridge@db.example.com/callbridge",
    "BROKER_URL": "redis://queue.example.com:6379/0",
    "CACHE_URL": "rediscache://queue.example.com:6379/1",
    "ALLOW_PRIVATE_HOSTS": "0",
    "DEBUG": "0",
}


def test_production_is_secure_by_default():
    done = python("manage.py", "check", "--deploy", "--fail-level", "WARNING", **PRODUCTION)
    assert done.returncode == 0, done.stderr


def test_several_processes_with_a_queue_in_memory_are_refused():
    done = python("manage.py", "check", "--deploy", **PRODUCTION | {"BROKER_URL": "memory://"})
    assert done.returncode == 1
    assert "BROKER_URL" in done.stderr


def test_what_support_may_edit_is_right():
    """Also where `check` looks at it before it has been found (`config.urls`)."""
    import_module("config.urls")
    assert checks.run_checks(tags=[checks.Tags.admin]) == []


@pytest.mark.parametrize("name", ["SECRET_KEY", "FIELD_ENCRYPTION_KEY"])
@pytest.mark.parametrize("value", ["", "change-me-please"])
def test_it_does_not_start_without_secrets_of_its_own(name: str, value: str):
    done = python("manage.py", "check", **{name: value})
    assert done.returncode != 0
    assert f"{name} is not set" in done.stderr
    assert "make .env" in done.stderr


def test_a_wrong_encryption_key_is_found_at_the_start(tmp_path: Path):
    old, new = os.environ["FIELD_ENCRYPTION_KEY"], fresh_key()
    where = {"DATABASE_URL": f"sqlite:///{tmp_path}/it.sqlite3", "DATA_DIR": str(tmp_path)}
    shutil.copyfile(empty_sqlite(), tmp_path / "it.sqlite3")
    check = ("manage.py", "check", "--database", "default")
    assert python(*check, **where, FIELD_ENCRYPTION_KEY=old).returncode == 0
    for command in (("manage.py", "serve", "--port", "0"), check):
        done = python(*command, **where, FIELD_ENCRYPTION_KEY=new)
        assert done.returncode != 0, command
        assert "FIELD_ENCRYPTION_KEY is not the key" in done.stderr
        assert "put the new one in front of the old one" in done.stderr
    assert python(*check, **where, FIELD_ENCRYPTION_KEY=f"{new},{old}").returncode == 0


def test_the_models_are_what_the_migrations_say():
    done = python("manage.py", "makemigrations", "--check", "--dry-run")
    assert done.returncode == 0, done.stdout


# --- Two versions side by side

HARMLESS = (
    operations.CreateModel,
    operations.AlterModelOptions,
    operations.AlterModelManagers,
    operations.RemoveIndex,
    operations.RenameIndex,
    operations.RemoveConstraint,
    operations.RunPython,
    AddIndexConcurrently,
    AddUniqueConcurrently,
)
SMALL = {"company", "user", "membership", "employee", "extension", "installation", "connection", "webhookaddress"} | {
    "virtualnumber", "ratestate", "schedule", "credential", "integration", "employeemapping", "lane", "historyrun"
}  # fmt: skip
"""Tables on which an index is built in no time; on all others `employees.operations.AddIndexConcurrently` does it."""


def _later_migrations() -> Iterator[tuple[Migration, ProjectState]]:
    """Those after the first version, each with the models before it."""
    loader = MigrationLoader(None)
    ours = {room.label for room in apps.get_app_configs() if Path(room.path).parent == ROOT}
    for key, migration in sorted(loader.disk_migrations.items()):
        if key[0] in ours and not migration.initial:
            yield migration, loader.project_state([key], at_end=False)


def _harm(migration: Migration, before: ProjectState) -> Iterator[str]:
    """What a process of the version before could not live with, or would have to wait for."""
    made = {each.name_lower for each in migration.operations if isinstance(each, operations.CreateModel)}
    for each in migration.operations:
        model = getattr(each, "model_name_lower", "")
        if isinstance(each, HARMLESS) or model in made:
            continue
        if isinstance(each, operations.AddField):
            fits = each.field.null or each.field.many_to_many or each.field.has_db_default()
        elif isinstance(each, operations.AlterField):
            old = before.models[migration.app_label, model].fields[each.name]
            shorter = (getattr(each.field, "max_length", 0) or 0) < (getattr(old, "max_length", 0) or 0)
            fits = type(old) is type(each.field) and not shorter and (each.field.null or not old.null)
        else:
            fits = isinstance(each, operations.AddIndex) and model in SMALL
        if not fits:
            yield f"{migration.app_label}.{migration.name}: {each.describe()}"


def _harm_of(*made: operations.base.Operation) -> list[str]:
    migration = type("Migration", (Migration,), {"operations": made})("0099_more", "telephony")
    return list(_harm(migration, MigrationLoader(None).project_state()))


def test_the_version_before_can_live_with_every_migration():
    """New columns may be left out, nothing that is in use is taken away, no table is locked for long."""
    assert [words for migration, before in _later_migrations() for words in _harm(migration, before)] == []


@pytest.mark.parametrize(
    "operation",
    [
        operations.AddField("call", "must", models.TextField(default="")),
        operations.RemoveField("call", "utm"),
        operations.RenameField("call", "utm", "marks"),
        operations.AlterField("call", "key", models.CharField(max_length=100)),
        operations.AlterField("call", "ended_at", models.DateTimeField()),
        operations.AlterField("call", "key", models.TextField()),
        operations.AddIndex("call", models.Index(fields=["key"], name="slow")),
        operations.AddConstraint("call", models.UniqueConstraint(fields=["key"], name="strict")),
        operations.DeleteModel("call"),
        operations.RunSQL("DROP TABLE telephony_call"),
    ],
    ids=lambda operation: type(operation).__name__,
)
def test_a_migration_that_it_cannot_live_with_is_found(operation: Any):
    assert len(_harm_of(operation)) == 1


def test_a_migration_that_only_adds_is_fine():
    harm = _harm_of(
        operations.CreateModel("Thing", [("id", models.BigAutoField(primary_key=True))]),
        operations.AddField("thing", "must", models.TextField()),
        operations.AddField("call", "may", models.TextField(null=True)),
        operations.AddField("call", "has", models.TextField(default="", db_default="")),
        operations.AlterField("call", "key", models.CharField(max_length=300)),
        AddIndexConcurrently("call", models.Index(fields=["key"], name="quick")),
        operations.AddIndex("connection", models.Index(fields=["name"], name="small")),
    )
    assert harm == []


# --- Words

CATALOGUES = [file for file in sorted(ROOT.glob("**/LC_MESSAGES/*.po")) if ".venv" not in file.parts]


def test_there_are_russian_words():
    assert ROOT / "locale/ru/LC_MESSAGES/django.po" in CATALOGUES


@pytest.mark.parametrize("source", CATALOGUES, ids=[str(file.relative_to(ROOT)) for file in CATALOGUES])
def test_the_compiled_words_are_those_of_the_source(source: Path, tmp_path: Path):
    needs("" if shutil.which("msgfmt") else "no msgfmt here (gettext is not installed)")
    made = tmp_path / "django.mo"
    subprocess.run(["msgfmt", "--check-format", "-o", str(made), str(source)], check=True, capture_output=True)
    assert _words(source.with_suffix(".mo")) == _words(made)


def _words(file: Path) -> dict[object, str]:
    with file.open("rb") as stream:
        found = dict(gettext.GNUTranslations(stream)._catalog)  # type: ignore[attr-defined]
    found.pop("", None)
    return found
