"""The floors: the same server with nothing behind it, and with one bare durable INSERT for each request."""

from __future__ import annotations

import argparse
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import uvicorn

from tests import stack
from tests.stack import ROOT, free_port, wait_until

from . import machine
from .calls import Account, Shot, answered
from .client import closed_loop, open_loop
from .figures import percentiles

KINDS = {"embedded": "sqlite", "production": "postgres"}
_ANSWER = b'{"success":true}'
_DDL = "CREATE TABLE IF NOT EXISTS floor (id {} PRIMARY KEY, body {})"


def serve(kind: str, port: int, where: str) -> None:
    """The options of `config.serving` where they could matter."""
    insert = _inserter(kind, where)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive()).get("body", b"")
        if insert:
            insert(body)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _ANSWER})

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=port,
        loop="auto",
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=30,
        backlog=2048,
        limit_concurrency=4000,
    )


def _inserter(kind: str, where: str) -> Callable[[bytes], Any] | None:
    if kind == "sqlite":
        file = sqlite3.connect(where, isolation_level=None)
        file.execute("PRAGMA journal_mode=WAL")
        file.execute("PRAGMA synchronous=FULL")
        file.execute(_DDL.format("INTEGER", "BLOB"))
        return lambda body: file.execute("INSERT INTO floor (body) VALUES (?)", (body,))
    if kind == "postgres":
        connection = psycopg.connect(where, autocommit=True)
        connection.execute(_DDL.format("BIGSERIAL", "BYTEA"))
        return lambda body: connection.execute("INSERT INTO floor (body) VALUES (%s)", (body,))
    return None


@contextmanager
def _running(kind: str, folder: Path) -> Iterator[int]:
    port = free_port()
    where = str(folder / "floor.sqlite3") if kind == "sqlite" else stack.POSTGRES
    command = [sys.executable, "-m", "tests.bench.floors", kind, str(port), where]
    with machine.on_core(machine.PRODUCT_CORE):
        process = subprocess.Popen(command, cwd=ROOT)
    try:
        wait_until(lambda: _answers(port), f"the floor {kind} does not answer")
        yield port
    finally:
        process.terminate()
        process.wait(10)


_SHOT = answered(Account("floor", "bench0vpbx0api0key00000000000000", "salt", ""), 0).shots[0].data


def _answers(port: int) -> bool:
    shot = Shot(time.time(), _SHOT)
    open_loop(port, [shot], patience=1)
    return shot.status == 200


def measure(kind: str, folder: Path, seconds: float, rates: tuple[float, ...] = (30, 100)) -> dict[str, Any]:
    """`kind`: plain, sqlite or postgres. The rate of 64 connections, and how soon answers come at fixed rates."""
    with _running(kind, folder) as port:
        done = closed_loop(port, _SHOT, connections=64, seconds=seconds)
        figures: dict[str, Any] = {"per_second": round(len(done) / seconds)}
        for rate in rates:
            start = time.time() + 0.1
            shots = [Shot(start + number / rate, _SHOT) for number in range(int(rate * seconds))]
            open_loop(port, shots)
            figures[f"at_{rate:.0f}"] = percentiles([shot.took for shot in shots if shot.status == 200])
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind")
    parser.add_argument("port", type=int)
    parser.add_argument("where")
    chosen = parser.parse_args()
    serve(chosen.kind, chosen.port, chosen.where)
