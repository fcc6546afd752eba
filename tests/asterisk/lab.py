"""One Asterisk that runs, and the phones around it."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Self

from tests.stack import free_port, wait_until

from .ami import Ami, Refused
from .packages import Release
from .sip import Exchange, Phone

ETC = Path(__file__).parent / "etc"
EXTENSIONS = range(101, 121)
NUMBERS = 74_950_000_000
"""A line of the company less its place: 74950000001 is the first."""
USER, SECRET = "callbridge", "lab-ami-secret"
"""The account of the product; `WATCHER` is the tests' own, with every right."""
WATCHER = "watcher"
BROWSER, BROWSER_SECRET = 121, "lab-browser-secret"
"""The extension that is a phone in a browser, and its password."""


def line(place: int) -> str:
    """A number of the company."""
    return str(NUMBERS + place)


class Asterisk:
    """A PBX. It can be stopped and started again, at the same addresses."""

    def __init__(self, release: Release, network: str = "", ami_port: int = 0):
        self.release = release
        self.network = network or f"127.{random.randrange(64, 256)}.{random.randrange(256)}"
        self.ami_port = ami_port or free_port()
        self.ws_port = free_port()
        self.sip = (f"{self.network}.1", 5060)
        self.folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def door(self) -> str:
        """Where phones in browsers register. On one machine it needs no TLS."""
        return f"ws://127.0.0.1:{self.ws_port}/ws"

    @property
    def monitor(self) -> Path:
        """Its folder of recordings."""
        return self.folder / "spool/monitor"

    def __enter__(self) -> Self:
        # Not where the tests keep their files: the path of a Unix socket must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="asterisk-"))
        self._configure()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        command = self.release.command("asterisk", "-f", "-C", str(self.folder / "etc/asterisk.conf"))
        with (self.folder / "log/console").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        wait_until(self._answers, self.log, every=0.1)

    def stop(self) -> None:
        """As an administrator does it: all calls end."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def log(self) -> str:
        """The end of what it has complained of."""
        file = self.folder / "log/console"
        return file.read_text(errors="replace")[-3000:]

    @contextmanager
    def ami(self, user: str = WATCHER, *, events: bool = False) -> Iterator[Ami]:
        """A connection of our own to its manager interface."""
        with Ami(self.ami_port, user, SECRET, events=events) as ami:
            yield ami

    def version(self) -> str:
        with self.ami() as ami:
            return ami.ask("CoreSettings")["AsteriskVersion"].partition("~")[0]

    def channels(self) -> int:
        """How many ends of calls there are."""
        with self.ami() as ami:
            ami.ask("CoreShowChannels")
            return int(ami.event(lambda event: event["Event"] == "CoreShowChannelsComplete")["ListItems"])

    def listeners(self) -> int:
        """How many connections the product has."""
        with self.ami() as ami:
            return ami.ask("Command", Command="manager show connected").get("Output", "").count(USER)

    def set_global(self, name: str, value: str) -> None:
        """A variable that the dialplan reads."""
        with self.ami() as ami:
            answer = ami.ask("Setvar", Variable=name, Value=value)
            assert answer["Response"] == "Success", answer

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        # It answers long before its last module is there; that it is ready, it says by itself.
        with suppress(OSError, Refused), self.ami(events=True) as ami:
            return bool(ami.event(lambda event: event["Event"] == "FullyBooted"))
        return False

    def _configure(self) -> None:
        for name in ("etc", "run", "lib", "tmp", "log", "spool/monitor", "spool/tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        values = {
            "ROOT": self.release.root,
            "MODULES": self.release.modules,
            "FOLDER": self.folder,
            "NETWORK": self.network,
            "AMI_PORT": self.ami_port,
            "USER": USER,
            "WATCHER": WATCHER,
            "SECRET": SECRET,
            "WS_PORT": self.ws_port,
            "WEB_SECRET": BROWSER_SECRET,
        }
        for file in ETC.glob("*.conf"):
            text = re.sub(r"@([A-Z_]+)@", lambda found: str(values[found[1]]), file.read_text())
            (self.folder / "etc" / file.name).write_text(text)
        phones = "".join(
            f"[{extension}](phone)\naors = {extension}\ncallerid = Extension {extension} <{extension}>\n"
            f"[{extension}]\ntype = aor\ncontact = sip:{extension}@{self.network}.{extension}\n"
            for extension in EXTENSIONS
        )
        (self.folder / "etc/phones.conf").write_text(phones)


class Lab:
    """A PBX, a phone for each of its extensions, and the telephone company."""

    def __init__(self, pbx: Asterisk, exchange: Exchange):
        self.pbx = pbx
        self.phones = {
            str(extension): exchange.phone(str(extension), f"{pbx.network}.{extension}", pbx.sip)
            for extension in EXTENSIONS
        }
        self.outside: Phone = exchange.phone("outside", f"{pbx.network}.2", pbx.sip)
        self._exchange = exchange

    def phone(self, extension: int | str) -> Phone:
        return self.phones[str(extension)]

    def cut_off(self) -> None:
        """What the phones had is gone, as their PBX is."""
        self._exchange.cut_off()

    def quiet(self) -> None:
        """Nobody speaks any more."""
        self._exchange.hang_up()
        wait_until(lambda: not self.pbx.channels(), "the last call is over")


@contextmanager
def lab(release: Release, *, network: str = "", ami_port: int = 0) -> Iterator[Lab]:
    with ExitStack() as exits:
        pbx = exits.enter_context(Asterisk(release, network, ami_port))
        yield Lab(pbx, exits.enter_context(Exchange()))
