"""Asterisk from Debian's packages, unpacked into a folder and run with that folder's own loader and libraries."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUITES = ("sid", "bullseye")
"""Releases of Debian that have Asterisk: 22 and 16."""
PACKAGES = ("asterisk", "asterisk-core-sounds-en")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
LEFT_OUT = ("doc", "man", "locale", "i18n", "perl*", "icons", "mime")
"""Of /usr/share: half of it all."""


class Missing(Exception):
    """Asterisk cannot be had here; says why."""


class Release:
    """Asterisk of one release of Debian."""

    def __init__(self, suite: str, folder: Path):
        self.suite, self.root = suite, folder / suite
        self._apt = folder / f"{suite}.apt"

    @property
    def installed(self) -> bool:
        return self.root.is_dir()

    def command(self, program: str, *arguments: str) -> list[str]:
        """How to run one of its programs."""
        loaders = (*self.root.glob("usr/lib/*/ld-linux-*.so.*"), *self.root.glob("usr/lib*/ld-linux-*.so.*"))
        libraries = ":".join(str(path) for path in (*self.root.glob("usr/lib/*-linux-gnu*"), self.root / "usr/lib"))
        return [str(loaders[0]), "--library-path", libraries, str(self.root / "usr/sbin" / program), *arguments]

    @property
    def modules(self) -> Path:
        (found,) = self.root.glob("usr/lib/**/asterisk/modules")
        return found

    def install(self) -> None:
        """Download and unpack (some 100 MB each). Raises `Missing`."""
        _needed()
        shutil.rmtree(self._apt, ignore_errors=True)
        try:
            self._download()
            self._unpack()
        except (OSError, subprocess.CalledProcessError) as error:
            raise Missing(f"Asterisk of Debian {self.suite}: {_said(error)}") from error
        finally:
            shutil.rmtree(self._apt, ignore_errors=True)

    def _download(self) -> None:
        for name in ("lists/partial", "cache/archives/partial", "nothing"):
            (self._apt / name).mkdir(parents=True)
        source = f"deb [signed-by={KEYRING}] {self._mirror()} {self.suite} main\n"
        (self._apt / "sources.list").write_text(source)
        # No package is there yet in the eyes of apt, so it fetches every library, and nothing of the machine is used.
        (self._apt / "status").touch()
        ours = {
            "Dir::Etc::SourceList": "sources.list",
            "Dir::Etc::SourceParts": "nothing",
            "Dir::State::Status": "status",
        }
        self._run_apt("update", "--error-on=any", **ours)
        self._run_apt("--yes", "--download-only", "install", *PACKAGES, **ours)

    def _mirror(self) -> str:
        """Where apt takes Debian's main archive from on this machine."""
        wanted = ("indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian", "Label: Debian")
        known = _run("apt-get", *wanted)
        if not known:  # the machine's lists were never downloaded, or thrown away
            self._run_apt("update")
            known = self._run_apt(*wanted)
        if not known:
            raise Missing("apt knows no Debian mirror here")
        return known.split()[0]

    def _run_apt(self, *arguments: str, **files: str) -> str:
        """With what it writes in our folder; `files` are settings that name files there."""
        files |= {"Dir::State::Lists": "lists", "Dir::Cache": "cache", "Dir::Log": ""}
        settings = {name: str(self._apt / file) for name, file in files.items()}
        settings |= {
            "Debug::NoLocking": "true",
            "APT::Sandbox::User": "",
            "APT::Install-Recommends": "false",
            "Acquire::Check-Valid-Until": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "1",
            "quiet": "2",
        }
        options = (word for name, value in settings.items() for word in ("-o", f"{name}={value}"))
        return _run("apt-get", *options, *arguments)

    def _unpack(self) -> None:
        part = self.root.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (part / "usr" / name).mkdir(parents=True)
            (part / name).symlink_to(f"usr/{name}")
        without = [f"--exclude=./usr/share/{name}" for name in LEFT_OUT]
        without += [f"--exclude=./{name}" for name in ("dev", "proc", "sys", "run", "usr/lib/python3*")]
        tar = ["tar", "--extract", "--keep-directory-symlink", "--no-same-owner", "--directory", str(part), *without]
        for package in sorted((self._apt / "cache/archives").glob("*.deb")):
            content = ["dpkg-deb", "--fsys-tarfile", str(package)]
            with subprocess.Popen(content, stdout=subprocess.PIPE) as reading:
                subprocess.run(tar, stdin=reading.stdout, check=True, capture_output=True)
        part.rename(self.root)


def release() -> Release:
    """The release to use, installed if need be. Raises `Missing`."""
    folder = Path(os.environ.get("ASTERISK_LAB") or "~/.cache/callbridge-asterisk").expanduser()
    wanted = os.environ.get("ASTERISK_SUITE")
    releases = [Release(suite, folder) for suite in ([wanted] if wanted else SUITES)]
    folder.mkdir(parents=True, exist_ok=True)
    why: list[str] = []
    with _alone(folder / "lock"):
        for found in releases:
            try:
                if not found.installed:
                    found.install()
            except Missing as error:
                why.append(str(error))
            else:
                return found
    raise Missing("; ".join(why))


def _needed() -> None:
    for program in ("apt-get", "dpkg-deb", "tar"):
        if not shutil.which(program):
            raise Missing(f"a real Asterisk is made of Debian's packages, and there is no {program} here")
    if not KEYRING.exists():
        raise Missing(f"no {KEYRING} (package debian-archive-keyring)")


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _said(error: Exception) -> str:
    """The first thing that a program has complained of."""
    said = getattr(error, "stderr", None) or str(error)
    return (said.decode(errors="replace") if isinstance(said, bytes) else said).strip().splitlines()[0]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time: tests run in several."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
