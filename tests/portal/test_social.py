"""Signing in by accounts that people have elsewhere: off, unless the environment switches providers on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from django.test import Client

from tests.stack import empty_sqlite
from tests.test_house import python

PAGE = """
import django
django.setup()
from django.test import Client
client = Client(headers={"accept-language": "en", "host": "localhost"})
print(client.get("/login/").content.decode())
answer = client.post("/accounts/google/login/")
print(answer.status_code, answer["Location"])
"""
KEYS = {"GOOGLE_CLIENT_ID": "the-client-id", "GOOGLE_CLIENT_SECRET": "the-client-secret"}


def test_none_is_offered_by_itself(db: None) -> None:
    assert "Continue with" not in Client(headers={"accept-language": "en"}).get("/login/").content.decode()
    assert Client().post("/accounts/google/login/").status_code in (302, 404)


def test_one_that_is_switched_on_has_a_button(tmp_path: Path) -> None:
    where = {"DATABASE_URL": f"sqlite:///{tmp_path}/it.sqlite3", "DATA_DIR": str(tmp_path)}
    on = {**where, **KEYS, "SOCIAL_PROVIDERS": "google"}
    shutil.copyfile(empty_sqlite(), tmp_path / "it.sqlite3")
    assert python("manage.py", "migrate", "--verbosity", "0", **on).returncode == 0
    done = python("-c", PAGE, **on)
    assert done.returncode == 0, done.stderr
    assert "Continue with Google" in done.stdout
    assert "302 https://accounts.google.com/" in done.stdout
    assert "client_id=the-client-id" in done.stdout
    assert "the-client-secret" not in done.stdout


@pytest.mark.parametrize("missing", sorted(KEYS))
def test_one_without_its_keys_is_refused_at_the_start(missing: str) -> None:
    done = python("manage.py", "check", **{**KEYS, missing: ""}, SOCIAL_PROVIDERS="google")
    assert done.returncode != 0
    assert f"{missing} is not set" in done.stderr
