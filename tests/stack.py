"""The product as its users run it, in processes of its own, on either stack, with emulated vendors around it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import requests
from psycopg.rows import dict_row
from redis import Redis

ROOT = Path(__file__).resolve().parent.parent
POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgres://127.0.0.1:5432/postgres")
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379")
SESSION = os.environ.get("CALLBRIDGE_TESTS", "")
"""The folder of a test run, which its processes share."""
KEY = os.environ["FIELD_ENCRYPTION_KEY"] if SESSION else urlsafe_b64encode(secrets.token_bytes(32)).decode()
QUEUES = ("default", "sync", "recordings", "history", "webhooks")


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """One process at a time."""
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def empty_sqlite() -> Path:
    """A database with nothing in it but the tables: made once in a test run, to be copied."""
    return _once("empty.sqlite3", _make_empty_sqlite)


def _make_empty_sqlite(empty: Path) -> None:
    begun = empty.with_suffix(".begun")
    manage(os.environ | {"DATABASE_URL": f"sqlite:///{begun}"}, "migrate", "--verbosity", "0")
    begun.rename(empty)


def empty_postgres() -> tuple[str, Path]:
    """The same on the usual PostgreSQL: its name, and a dump of it for other servers."""
    note = _once("empty-production", _make_empty_postgres)
    return note.read_text(), note.with_suffix(".sql")


def _make_empty_postgres(note: Path) -> None:
    name = f"callbridge_{secrets.token_hex(6)}_empty"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    manage(os.environ | {"DATABASE_URL": _named(POSTGRES, name)}, "migrate", "--verbosity", "0")
    # At once: whoever makes a copy of it must be alone with it.
    dump = ["pg_dump", "--no-owner", "--file", str(note.with_suffix(".sql")), _named(POSTGRES, name)]
    subprocess.run(dump, check=True)
    note.write_text(name)


def _once(name: str, make: Callable[[Path], None]) -> Path:
    file = Path(SESSION) / name
    with _alone(file.with_suffix(".lock")):
        if not file.exists():
            make(file)
    return file


def forget_empty() -> None:
    """The end of a test run: nobody begins with its empty databases any more."""
    note = Path(SESSION) / "empty-production"
    if SESSION and note.exists():
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE IF EXISTS "{note.read_text()}"')


def _named(server: str, database: str) -> str:
    return server.rpartition("/")[0] + f"/{database}"


def manage(environment: dict[str, str], *arguments: str) -> str:
    """What `manage.py` prints."""
    command = [sys.executable, "manage.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def production_missing() -> str:
    """Why the production stack cannot be tested here; empty when it can."""
    try:
        psycopg.connect(POSTGRES, connect_timeout=2).close()
        Redis.from_url(REDIS, socket_connect_timeout=2).ping()
    except Exception as error:
        return f"no PostgreSQL or Redis here: {error}"
    return ""


def wait_until(
    what: Callable[[], Any], why: str | Callable[[], str], timeout: float = 30.0, every: float = 0.02
) -> Any:
    """Ask `every` so many seconds until the answer is true; the answer. Raises `AssertionError` with `why`."""
    end = time.monotonic() + timeout
    while True:
        if answer := what():
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {why() if callable(why) else why}")
        time.sleep(every)


_LEFT = {
    "events": "SELECT count(*) FROM telephony_inboxevent WHERE state = 0",
    "crm_events": "SELECT count(*) FROM integrations_crmevent WHERE state = 0",
    "steps": "SELECT count(*) FROM integrations_callsync WHERE state = 'wanted' AND NOT parked AND wanted > noted",
    "history": "SELECT count(*) FROM telephony_historyrun WHERE state = 'open'",
    "recordings": "SELECT count(*) FROM telephony_recording WHERE state = 'ready'",
    "routing": """SELECT count(*) FROM telephony_call c WHERE waiting_leg <> '' AND direction = 'in'
        AND client_phone <> ''
        AND NOT EXISTS (SELECT 1 FROM telephony_decision d WHERE d.call_id = c.id AND d.kind = 'routing')""",
    "tracking": """SELECT count(*) FROM telephony_call c WHERE tracking_number <> '' AND state <> 'finished'
        AND NOT EXISTS (SELECT 1 FROM telephony_decision d WHERE d.call_id = c.id AND d.kind = 'tracking')""",
}


def _from_sqlite(value: Any) -> Any:
    """SQLite has no JSON of its own: texts that can only be that are read."""
    return json.loads(value) if isinstance(value, str) and value[:1] in ("{", "[") else value


class Stack:
    """One installation. `kind` is `embedded` (SQLite, everything in one process) or `production` (PostgreSQL, Redis,
    a web, a worker and a schedule process).

    `listens`: also the process that holds the lines to PBXs. `postgres` and `redis` are addresses of servers to be used
    instead of the usual ones.
    """

    def __init__(self, kind: str, folder: Path, *, postgres: str = "", redis: str = "", **environment: str):
        self.kind, self.folder = kind, folder
        self.listens = False
        self._server, self._redis = postgres or POSTGRES, redis or REDIS
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._database = ""
        self._watch = threading.local()
        self.environment = os.environ | {
            "DEBUG": "0",
            "SECRET_KEY": secrets.token_hex(32),
            "FIELD_ENCRYPTION_KEY": KEY,
            "PUBLIC_URL": self.url,
            "PORT": str(self.port),
            "DATA_DIR": str(folder),
            "ALLOW_PRIVATE_HOSTS": "1",
            "LOG_LEVEL": "WARNING",
            "LOG_JSON": "1",
            **self._where(),
            **environment,
        }

    def _where(self) -> dict[str, str]:
        if self.kind == "embedded":
            return {
                "DATABASE_URL": f"sqlite:///{self.folder}/callbridge.sqlite3",
                "BROKER_URL": "memory://",
                "CACHE_URL": "locmemcache://",
            }
        self._database = f"callbridge_{secrets.token_hex(6)}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{self._database}"')
        self._redis = f"{self._redis}/{self._redis_number()}"
        return {
            "DATABASE_URL": self._database_url,
            "BROKER_URL": self._redis,
            "CACHE_URL": self._redis.replace("redis://", "rediscache://"),
        }

    def _redis_number(self) -> int:
        """One of the server's databases that no other stack of this test run uses."""
        for number in range(1, 16):
            lock = (Path(SESSION or self.folder) / f"redis-{number}.lock").open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            self._redis_lock = lock  # as long as this stack lives
            return number
        raise AssertionError("all databases of Redis are taken")

    @property
    def _database_url(self) -> str:
        """Its database as it is seen from outside, whatever way the product takes to it."""
        return _named(self._server, self._database)

    # --- Processes

    def roles(self) -> dict[str, list[str]]:
        web = {"web": ["serve", "--port", str(self.port)]}
        if self.kind == "embedded":
            return web
        lines = {"listen": ["listen"]} if self.listens else {}
        return {
            **web,
            **lines,
            "worker": ["rundramatiq", "--processes", "1", "--threads", "48", "--queues", *QUEUES],
            "schedule": ["schedule"],
        }

    def start(self) -> Stack:
        self._migrate()
        for role in self.roles():
            self.spawn(role)
        self.wait_ready()
        return self

    def _migrate(self) -> None:
        """In a test run with a copy of a database that has the tables already."""
        if not SESSION:
            self.manage("migrate", "--verbosity", "0")
        elif self.kind == "embedded":
            shutil.copyfile(empty_sqlite(), self._file)
        else:
            empty, dump = empty_postgres()
            if self._server != POSTGRES:
                restore = ["psql", "--quiet", "-v", "ON_ERROR_STOP=1", "--file", str(dump), self._database_url]
                subprocess.run(restore, check=True, stdout=subprocess.DEVNULL)
                return
            with psycopg.connect(POSTGRES, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE "{self._database}"')
                connection.execute(f'CREATE DATABASE "{self._database}" TEMPLATE "{empty}"')

    @property
    def _file(self) -> Path:
        return self.folder / "callbridge.sqlite3"

    def spawn(self, role: str) -> None:
        log = (self.folder / f"{role}.log").open("ab")
        command = [sys.executable, "manage.py", *self.roles()[role]]
        self.processes[role] = subprocess.Popen(
            command, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
        )

    def kill(self, role: str) -> None:
        """`kill -9` of a role's whole process group."""
        process = self.processes[role]
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def terminate(self, role: str, within: float = 10.0) -> int:
        """SIGTERM to a role's whole process group, as a supervisor sends it; its exit code."""
        process = self.processes[role]
        os.killpg(process.pid, signal.SIGTERM)
        return process.wait(within)

    def wait_ready(self, timeout: float = 40.0) -> None:
        wait_until(self.ready, lambda: self.log("web")[-3000:], timeout)

    def ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/health/ready", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def stop(self) -> None:
        """End everything as an operator would."""
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def drop(self) -> None:
        if self._database:
            with psycopg.connect(self._server, autocommit=True) as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{self._database}" WITH (FORCE)')
            Redis.from_url(self._redis).flushdb()
            self._redis_lock.close()

    def log(self, role: str) -> str:
        path = self.folder / f"{role}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    # --- Talking to it

    def manage(self, *arguments: str) -> str:
        return manage(self.environment, *arguments)

    def provision(self, company: dict[str, Any]) -> dict[str, Any]:
        """Make a company from what `manage.py provision` reads; what it prints back."""
        file = self.folder / f"company-{secrets.token_hex(4)}.json"
        file.write_text(json.dumps(company))
        return json.loads(self.manage("provision", "--json", str(file)))

    def provision_all(self, companies: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The same for many at once."""
        file = self.folder / f"companies-{secrets.token_hex(4)}.json"
        file.write_text(json.dumps([json.dumps(company) for company in companies]))
        lines = (
            "import json, pathlib",
            "from integrations.provision import provision",
            f"texts = json.loads(pathlib.Path({str(file)!r}).read_text())",
            "print(json.dumps([provision(text).as_dict() for text in texts]))",
        )
        return json.loads(self.shell("\n".join(lines)))

    def shell(self, code: str) -> str:
        """Run code inside the product's Django; what it prints."""
        return self.manage("shell", "--no-imports", "-c", code)

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """Look into its database from outside (`%s` for values; JSON comes parsed)."""
        if self.kind == "embedded":
            with closing(sqlite3.connect(self._file, timeout=30, isolation_level=None)) as base:
                base.row_factory = sqlite3.Row
                return [
                    {name: _from_sqlite(row[name]) for name in row.keys()}  # noqa: SIM118
                    for row in base.execute(sql.replace("%s", "?"), values)
                ]
        try:
            return self._ask(sql, values)
        except psycopg.OperationalError:  # the server may have been away since
            vars(self._watch).clear()
            return self._ask(sql, values)

    def _ask(self, sql: str, values: tuple[Any, ...]) -> list[dict[str, Any]]:
        """Each thread over a line of its own that stays: a new one costs PostgreSQL more than most questions, and
        whoever waits asks many times a second."""
        line = getattr(self._watch, "line", None)
        if line is None or line.closed:
            line = self._watch.line = psycopg.connect(self._database_url, autocommit=True, row_factory=dict_row)
        cursor = line.execute(sql, values)
        return cursor.fetchall() if cursor.description else []

    def row(self, sql: str, *values: Any) -> dict[str, Any]:
        """The only row."""
        (found,) = self.rows(sql, *values)
        return found

    def busy(self) -> dict[str, int]:
        """What is left to do, by kind; empty when all that came is folded, decided, fetched and written."""
        (counts,) = self.rows(f"SELECT {', '.join(f'({sql}) AS {name}' for name, sql in _LEFT.items())}")
        return {name: count for name, count in counts.items() if count}

    def wait_quiet(self, timeout: float = 12.0) -> None:
        wait_until(lambda: not self.busy(), lambda: f"{self.busy()}\n{self.log('web')[-2000:]}", timeout)


@contextmanager
def running(kind: str, folder: Path, *, listens: bool = False, **environment: str) -> Iterator[Stack]:
    """A stack that runs meanwhile; its logs stay in `folder`."""
    stack = Stack(kind, folder, **environment)
    stack.listens = listens
    try:
        yield stack.start()
    finally:
        stack.stop()
        stack.drop()


def company(
    mango_url: str,
    bitrix_url: str,
    name: str = "Flowers",
    *,
    prefix: str = "demo",
    api_key: str = "demo0vpbx0api0key0000000000000a1",
) -> dict[str, Any]:
    """A company with three employees, a Mango (the account `api_key`) and a Bitrix24 (its tokens begin with `prefix`),
    as `provision` reads it."""
    return {
        "company": {"name": name, "time_zone": "Europe/Moscow", "region": "RU", "language": "ru"},
        "users": [{"email": f"owner@{name.lower()}.example", "role": "owner", "password": "demo-Passw0rd-1"}],
        "employees": [
            {"name": "Anna Ivanova", "extensions": ["101"], "phones": ["+79000000101"]},
            {"name": "Boris Petrov", "extensions": ["102"], "phones": []},
            {"name": "Vera Sidorova", "extensions": ["103"], "phones": []},
        ],
        "connections": [
            {
                "key": "pbx",
                "provider": "mango",
                "brand": "mango",
                "name": "Mango",
                "credentials": {
                    "api_url": mango_url,
                    "api_key": api_key,
                    "api_salt": "demo0vpbx0api0salt000000000000b2",
                },
                "numbers": [
                    {"number": "+74950000001", "line_name": "Ads"},
                    {"number": "+74950000002", "line_name": "Shop"},
                ],
            }
        ],
        "crm_credentials": [
            {
                "key": "portal",
                "crm": "bitrix24",
                "name": "Our portal",
                "credentials": {
                    "domain": bitrix_url,
                    "client_id": "local.0000000000000000.00000001",
                    "client_secret": "demo-client-secret",
                    "oauth_url": bitrix_url,
                    "access_token": f"{prefix}-access",
                    "refresh_token": f"{prefix}-refresh",
                    "application_token": f"{prefix}-application-token",
                    "member_id": f"{prefix}-member",
                },
            }
        ],
        "integrations": [
            {
                "key": "main",
                "connections": ["pbx"],
                "credential": "portal",
                "active": True,
                "numbers": [],
                "settings": {
                    "telephony_mode": "ip",
                    "forward_to_personal_manager": False,
                    "create_entity_incoming": True,
                    "default_responsible_incoming": "1",
                    "assign_incoming_to": "first",
                    "create_entity_outgoing": False,
                    "default_responsible_outgoing": "1",
                    "use_call_tracking": False,
                    "utm_tags": ["utm_source", "utm_medium"],
                    "post_call_message_to_chat": True,
                },
                "employee_mapping": [
                    {"extension": "101", "crm_user": "12", "use_for_personal_manager": True},
                    {"extension": "102", "crm_user": "13", "use_for_personal_manager": True},
                    {"extension": "103", "crm_user": "14", "use_for_personal_manager": False},
                ],
            }
        ],
    }
