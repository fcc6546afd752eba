"""`python -m tests.demo [--fresh]`: starts everything, says where to look, and watches over it until Ctrl-C.

Its data lie in `var/demo`, or in the folder that DEMO_DIR names: then it takes any ports, so that several get on.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote

import yaml

from .children import Child, Children, Failed, Stopped, answers
from .inside import SUPPORT, SUPPORT_PASSWORD
from .words import language, ready, say

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = Path(os.environ.get("DEMO_DIR", ROOT / "var" / "demo")).resolve()
COMPANY = Path(__file__).with_name("company.yaml")
HOST = "127.0.0.1"
PORTS = {"server": 8000, "mango": 9201, "bitrix24": 9101}
ANY_PORTS = dict.fromkeys(PORTS, 0)
SECONDS = 60
LOG_LINES = 15


class Demo:
    def __init__(self) -> None:
        self.urls = {
            name: f"http://{HOST}:{port}"
            for name, port in free_ports(ANY_PORTS if "DEMO_DIR" in os.environ else PORTS).items()
        }
        self.children = Children(ROOT, DATA, environment(self.urls["server"]))

    def run(self) -> NoReturn:
        """Until a signal (`Stopped`), or until something dies (`Failed`)."""
        print(say("starting"), flush=True)
        self._start()
        print(self._ready_words(), flush=True)
        while True:
            self.children.pause(0.3)
            self._check_all()

    def _start(self) -> None:
        run = self.children.run
        run("migrate", "manage.py", "migrate", "--verbosity", "0")
        kept, back = str(DATA / "bitrix24.state"), f"{self.urls['server']}/oauth/bitrix24/"
        self._serve("bitrix24", "-m", "tests.emulators.bitrix24", "--state-file", kept, "--redirect-uri", back)
        self._serve("server", "manage.py", "serve", "--host", HOST)
        company = json.loads(run("provision", "manage.py", "provision", "--json", str(self._company())))
        self._wait("bitrix24", "/_emulator/violations")
        run("inside", "-m", "tests.demo.inside")
        self._wait("server", "/health/ready")
        hook = company["connections"]["pbx"]["webhook_url"]
        self._serve("mango", "-m", "tests.emulators.mango", "--demo", "--hub-url", hook)
        self._wait("mango", "/_emulator/state")

    def _serve(self, name: str, *command: str) -> Child:
        return self.children.start(name, *command, "--port", self.urls[name].rpartition(":")[2])

    def _company(self) -> Path:
        """The company's file with the addresses that are in use, in the newcomer's language."""
        text = COMPANY.read_text(encoding="utf-8")
        for name in ("mango", "bitrix24"):
            text = text.replace(f"http://{HOST}:{PORTS[name]}", self.urls[name])
        path = DATA / "company.yaml"
        path.write_text(text.replace("language: ru", f"language: {language()}"), encoding="utf-8")
        return path

    def _wait(self, name: str, path: str) -> None:
        end = time.monotonic() + SECONDS
        while not answers(self.urls[name] + path):
            self._check_all()
            self.children.pause(0.2)
            if time.monotonic() > end:
                raise Failed(say("not ready", name=say(name), seconds=SECONDS), DATA / f"{name}.log")

    def _check_all(self) -> None:
        if child := self.children.dead():
            words = say("died", name=say(child.name), code=child.process.returncode, log=shown(child.log))
            raise Failed(words, child.log)

    def _ready_words(self) -> str:
        owner, operator = users()
        return ready(
            portal=self.urls["server"] + "/",
            support=self.urls["server"] + "/support/",
            mango=self.urls["mango"] + "/",
            bitrix24=self.urls["bitrix24"] + "/",
            owner=owner["email"],
            owner_password=owner["password"],
            operator=operator["email"],
            operator_password=operator["password"],
            support_user=SUPPORT,
            support_password=SUPPORT_PASSWORD,
            data=shown(DATA),
        )


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def users() -> list[dict[str, Any]]:
    return yaml.safe_load(COMPANY.read_text(encoding="utf-8"))["users"]


def environment(url: str) -> dict[str, str]:
    """The environment's keys, and for all else what a demonstration needs, whatever `.env` says of the real one."""
    return os.environ | {
        "DEBUG": "0",
        "PUBLIC_URL": url,
        "PORT": url.rpartition(":")[2],
        "DATA_DIR": str(DATA),
        "DATABASE_URL": f"sqlite:///{quote(str(DATA))}/callbridge.sqlite3",
        "BROKER_URL": "memory://",
        "CACHE_URL": "locmemcache://callbridge",
        "S3_BUCKET": "",
        "ALLOW_PRIVATE_HOSTS": "1",
        "ALLOWED_HOSTS": f"{HOST},localhost",
        "BEHIND_PROXY": "0",
        "LANGUAGE_CODE": language(),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": f"{HOST},localhost",
        "no_proxy": f"{HOST},localhost",
    }


def free_ports(wanted: dict[str, int]) -> dict[str, int]:
    """The usual ports where they are free, others where they are not."""
    sockets = {name: _bound(port) for name, port in wanted.items()}
    found = {name: sock.getsockname()[1] for name, sock in sockets.items()}
    for sock in sockets.values():
        sock.close()
    return found


def _bound(port: int) -> socket.socket:
    sock = socket.socket()
    # As servers do: a port whose last connections are still dying counts as free.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except OSError:
        sock.bind((HOST, 0))
    return sock


@contextmanager
def alone(fresh: bool) -> Iterator[None]:
    """One demonstration at a time in this folder; `fresh` empties the folder first."""
    DATA.mkdir(parents=True, exist_ok=True)
    with (DATA / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            sys.exit(say("running already"))
        if fresh:
            for path in DATA.iterdir():
                if path.name != "lock":
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        yield


def on_signals(work: Callable[[], object]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, lambda *_: work())


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="begin anew: delete var/demo first")
    with alone(parser.parse_args().fresh):
        demo = Demo()
        on_signals(demo.children.stopping.set)
        try:
            demo.run()
        except Stopped:
            print("\n" + say("stopping"), flush=True)
            return 0
        except Failed as failure:
            _tell(failure, demo.children.stopping.is_set())
            return 1
        finally:
            demo.children.stop()
            print(say("stopped"), flush=True)
    return 0


def _tell(failure: Failed, asked: bool) -> None:
    """What went wrong, with the end of the log; nothing when it was our own stopping."""
    if asked:
        return
    step = failure.words in ("migrate", "provision", "inside")
    print("\n" + (say("failed", what=say(failure.words)) if step else failure.words), file=sys.stderr)
    if failure.log and failure.log.exists():
        lines = failure.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        print("\n".join(f"  {line}" for line in lines), file=sys.stderr)
    print(say("fresh"), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
