"""PostgreSQL and Redis of our own, on free ports: to be pinned to a core, killed, and started again.

Each is a context manager that leaves nothing behind. `kill` is a power cut (PostgreSQL keeps what it has committed,
Redis forgets everything), `start` brings it back at the same address.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Self

import psycopg
import redis

from tests.stack import free_port, wait_until

USER = "callbridge"


def postgres_missing() -> str:
    """Why no PostgreSQL can be started here; empty when it can."""
    if not (shutil.which("initdb") and shutil.which("pg_ctl")):
        return "PostgreSQL's initdb and pg_ctl are not in the PATH"
    return "PostgreSQL does not run as root, and there is no user postgres" if _unprivileged() is None else ""


def redis_missing() -> str:
    """Why no Redis can be started here; empty when it can."""
    return "" if shutil.which("redis-server") else "redis-server is not in the PATH"


def _unprivileged() -> list[str] | None:
    """PostgreSQL does not run as root: how to become somebody else; None where we cannot."""
    if os.geteuid():
        return []
    known = subprocess.run(["id", "postgres"], capture_output=True, check=False).returncode == 0
    return ["runuser", "-u", "postgres", "--"] if known and shutil.which("runuser") else None


def family(pid: int) -> list[int]:
    """A process and its children, as far as they live."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rpartition(") ")[2].split()[:2]
            except OSError:
                continue
            if state != "Z" and pid in (int(entry.name), int(parent)):
                found.append(int(entry.name))
    return found


class Postgres:
    """With the settings that `initdb` gives: fsync and synchronous_commit on."""

    def __init__(self) -> None:
        self.port, self.pid = free_port(), 0
        self.url = f"postgres://{USER}@127.0.0.1:{self.port}/postgres"
        self._become = _unprivileged() or []

    def __enter__(self) -> Self:
        self._folder = Path(tempfile.mkdtemp(prefix="callbridge-postgres-"))
        self._data = self._folder / "data"
        if self._become:
            shutil.chown(self._folder, "postgres")
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", USER, "--no-instructions")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(subprocess.CalledProcessError):
            self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=200"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-l", log, "-w", "-o", options, "start")
        self.pid = int((self._data / "postmaster.pid").read_text().split()[0])

    def kill(self) -> None:
        """`kill -9` of the server with all its backends."""
        for pid in family(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not family(self.pid), "PostgreSQL does not die")
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def version(self) -> str:
        with psycopg.connect(self.url) as connection:
            return str(connection.info.parameter_status("server_version")).split()[0]

    def _run(self, *command: str) -> None:
        quiet = subprocess.DEVNULL
        subprocess.run([*self._become, *command], check=True, stdout=quiet, stderr=quiet, cwd="/")


class Redis:
    """It keeps nothing on disk."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def start(self) -> None:
        address = ["--port", str(self.port), "--bind", "127.0.0.1"]
        command = ["redis-server", *address, "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
        wait_until(self._answers, "Redis does not start")

    def kill(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()

    def flush(self) -> None:
        """Empty it: queues, cache and all."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def _answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False
