"""Speaking REST with one portal: addresses, credentials, single requests and batches, typed errors.

Two credentials are known: the tokens of an installed application (`https://<portal>/rest/<method>`, `auth` in the body)
and an incoming webhook (`https://<portal>/rest/<user>/<code>/<method>`, the secret in the path). The tokens win where
both are there: a webhook cannot do everything (see the guide).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote_plus

from django.utils.translation import gettext_noop as _

from outbound.errors import CredentialsRefused, DeadlineExceeded, OutboundError, Rejected, TokenExpired, VendorFault
from outbound.http import MAX_RECORDING, Answer, Http
from outbound.limits import Limit

from . import address, failures, wire

MAX_COMMANDS = 50
"""Commands in one batch: Bitrix24 refuses more (ERROR_BATCH_LENGTH_EXCEEDED)."""
MAX_HEAVY = 10
"""Slow commands in one batch. They take 1 to 2.5 s each and Bitrix24 cuts a request off after 60 s, half done."""
HEAVY = frozenset(
    {
        "telephony.externalCall.register",
        "telephony.externalCall.finish",
        "telephony.externalCall.attachRecord",
    }
)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Group = Mapping[str, "Command"]
"""Commands that belong together, by a key of ours: one call's, in order."""
Answers = dict[str, Any]
"""What became of a group's commands, by key: Bitrix24's result, or an `OutboundError`."""


class PortalMoved(TokenExpired):
    """The portal has another address now, `new` (an origin): `refresh` hands it back, then the request is repeated."""

    def __init__(self, words: str, *, new: str = "", **rest: Any):
        super().__init__(words, **rest)
        self.new = new


# --- Commands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ref:
    """A field of an earlier command's answer in the same batch: `$result[key][field]`. `field` may go deeper."""

    key: str
    field: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Command:
    """One method with its parameters."""

    method: str
    params: Mapping[str, Any]

    def text(self, suffix: str = "") -> str:
        """The command as a batch carries it. `suffix` is what the keys of its group got."""
        pairs = (pair for name, value in self.params.items() for pair in _pairs(name, value, suffix))
        return f"{self.method}?{'&'.join(pairs)}" if self.params else self.method


def _pairs(name: str, value: Any, suffix: str) -> Iterator[str]:
    """PHP's nested form. A reference stays readable: Bitrix24 looks for it before it decodes."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _pairs(f"{name}[{key}]", inner, suffix)
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from _pairs(f"{name}[{number}]", inner, suffix)
    elif isinstance(value, Ref):
        path = "".join(f"[{part}]" for part in (value.key + suffix, *value.field))
        yield f"{quote_plus(name)}=$result{path}"
    else:
        text = str(int(value)) if isinstance(value, bool) else str(value)
        yield f"{quote_plus(name)}={quote_plus(text)}"


def pack(groups: Sequence[Group]) -> list[list[int]]:
    """Indices of `groups`, in order, in as few requests as the limits of a batch allow. Empty groups are left out."""
    packs: list[list[int]] = []
    total = heavy = 0
    for index, group in enumerate(groups):
        if not group:
            continue
        slow = sum(command.method in HEAVY for command in group.values())
        if not packs or total + len(group) > MAX_COMMANDS or heavy + slow > MAX_HEAVY:
            packs.append([])
            total = heavy = 0
        packs[-1].append(index)
        total, heavy = total + len(group), heavy + slow
    return packs


# --- The portal -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Portal:
    """One portal and our keys to it, for the length of one job. Make it with `Portal.of`."""

    http: Http
    base: str
    token: str
    limits: tuple[Limit, ...]

    @classmethod
    def of(cls, http: Http, secrets: Mapping[str, str]) -> Portal:
        """Raises `CredentialsRefused` when there is neither a token nor a webhook yet."""
        token, hook = secrets.get("access_token", ""), address.webhook(secrets.get("webhook_url", ""))
        if token:
            base = _rest_of(secrets.get("domain", ""))
        elif hook:
            # The house masks the whole address; an error of the connection names the path alone.
            base, http = hook.url, replace(http, secrets=(*http.secrets, hook.code))
        else:
            raise CredentialsRefused(_("the application is not installed yet"), code=failures.NOT_INSTALLED)
        return cls(http, base, token, address.limits(secrets))

    def call(self, method: str, params: Mapping[str, Any], deadline: float | None = None) -> Any:
        """`result` of one method. Raises `outbound.errors`."""
        return self.answer(method, params, deadline).get("result")

    def answer(self, method: str, params: Mapping[str, Any], deadline: float | None = None) -> dict[str, Any]:
        """The whole answer to one method: `result`, and `next` and `total` of a list."""
        body = {**params, "auth": self.token} if self.token else dict(params)
        got = self.http.request("POST", self.base + method, json=body, limits=self.limits, deadline=deadline)
        return self._read(got)

    def run(self, groups: Sequence[Group], deadline: float | None = None) -> list[Answers]:
        """Make the commands of all groups, in one request where the limits of a batch allow it; answers by group.

        A lone command goes plain. An error of one command is in its place. What hits a whole request is raised when
        there is no other request, else it is in the places of its commands; what is not sent for it says so.
        """
        answers: list[Answers] = [{} for _ in groups]
        packs, began = pack(groups), time.monotonic()
        for number, indices in enumerate(packs):
            if number and time.monotonic() - began > self.http.deadline:
                _spread(DeadlineExceeded(_("no time is left"), code="deadline"), packs[number:], groups, answers)
                break
            try:
                self._run_pack(indices, groups, answers, deadline)
            except OutboundError as error:
                if len(packs) == 1:
                    raise
                _spread(error, [indices], groups, answers)
                _spread(failures.without_fate(error), packs[number + 1 :], groups, answers)
                break
        return answers

    def _run_pack(
        self, indices: Sequence[int], groups: Sequence[Group], answers: list[Answers], deadline: float | None
    ) -> None:
        places = {
            f"{key}{position or ''}": (index, key, str(position or ""))
            for position, index in enumerate(indices)
            for key in groups[index]
        }
        if len(places) == 1:
            ((index, key, _suffix),) = places.values()
            answers[index][key] = self._alone(groups[index][key], deadline)
            return
        text = {name: groups[index][key].text(suffix) for name, (index, key, suffix) in places.items()}
        heavy = sum(groups[index][key].method in HEAVY for index, key, _suffix in places.values())
        # 2.5 s for each slow command, but never so much that the house gives the work to another.
        longest = min(2.0 * self.http.deadline, max(self.http.deadline, 15.0 + 2.5 * heavy))
        body = self.answer("batch", {"halt": 0, "cmd": text}, deadline or longest).get("result")
        if not isinstance(body, dict):
            raise VendorFault(_("the batch has no answer"), code="batch", fate_unknown=True)
        batch = wire.parse(wire.BatchAnswer, body)
        for name, (index, key, _suffix) in places.items():
            answers[index][key] = self._of_batch(batch, name)

    def _alone(self, command: Command, deadline: float | None) -> Any:
        try:
            return self.call(command.method, command.params, deadline)
        except OutboundError as error:
            if failures.concerns_one_command(error):
                return error
            raise

    def _of_batch(self, batch: wire.BatchAnswer, name: str) -> Any:
        if name in batch.result_error:
            raw = batch.result_error[name]
            said = wire.parse(wire.Failure, raw if isinstance(raw, dict) else {"error_description": raw})
            return self._failure(200, said)
        if name in batch.result:
            return batch.result[name]
        return VendorFault(_("the batch has no answer to this command"), code="batch", fate_unknown=True)

    # --- answers

    def _read(self, answer: Answer) -> dict[str, Any]:
        """The body of a good answer. `error` counts at HTTP 200 as well."""
        if answer.status in _REDIRECTS:
            raise self._redirected(answer)
        try:
            body = answer.json()
        except VendorFault as error:
            # A page instead of an answer: from 500 on the request may have been at work already.
            error.fate_unknown = error.fate_unknown or answer.status >= 500
            raise
        if not isinstance(body, dict):
            raise VendorFault(_("the answer is no JSON object"), code=f"http_{answer.status}", fate_unknown=True)
        if "error" in body or answer.status >= 400:
            raise self._failure(answer.status, wire.parse(wire.Failure, body), body.get("time"))
        return body

    def _failure(self, status: int, said: wire.Failure, timing: Any = None) -> OutboundError:
        error = failures.failure(status, said.error, said.error_description)
        if isinstance(error, TokenExpired) and not self.token:
            return CredentialsRefused(error.words, code=error.code)  # a webhook has nothing to refresh
        if error.code == failures.OPERATION_TIME_LIMIT:
            until = wire.parse(wire.Time, timing).operating_reset_at
            error.retry_after = min(max(until - time.time(), 1.0), 600.0) if until else failures.OPERATION_PAUSE
        return error

    def _redirected(self, answer: Answer) -> OutboundError:
        """A renamed portal answers from its old address with 302 (change-domen.md, b24restdocs).

        Nothing was done there, so the request may simply be repeated once `Adapter.refresh` has learnt the address.
        """
        new = address.moved_to(self.base, answer.headers.get("Location", ""))
        if new:
            return PortalMoved(f"the portal has moved to {new}", code=failures.DOMAIN_MOVED, new=new)
        return Rejected(_("the address leads elsewhere; is it the portal's own, with https://?"), code="redirect")

    # --- files

    def download(self, url: str) -> bytes:
        """A recording from a link of ours."""
        answer = self.http.request("GET", url, max_size=MAX_RECORDING)
        if answer.status != 200:
            raise VendorFault(f"the recording's link answers HTTP {answer.status}", code="recording_link")
        return answer.body

    def upload(self, place: wire.Attached, name: str, content: bytes) -> wire.Attached:
        """Send a file to the `uploadUrl` that `attachRecord` gave. The address holds our token, and dies with it."""
        if not place.uploadUrl or address.host_of(place.uploadUrl) != address.host_of(self.base):
            raise VendorFault(_("the address for the upload is not the portal's"), code="upload_address")
        kind = "audio/wav" if name.lower().endswith(".wav") else "audio/mpeg"
        files = {place.fieldName or "file": (name, content, kind)}
        answer = self.http.request(
            "POST",
            place.uploadUrl,
            files=files,
            limits=self.limits,
            deadline=2.0 * self.http.deadline,
            shown=f"({len(content)} bytes, {kind})",
        )
        return wire.parse(wire.Attached, self._read(answer).get("result"))


def _rest_of(domain: str) -> str:
    try:
        return f"{address.origin(domain)}/rest/"
    except ValueError as error:
        raise CredentialsRefused(_("the portal's domain is missing"), code="no_domain") from error


def _spread(
    error: OutboundError, packs: Sequence[Sequence[int]], groups: Sequence[Group], answers: list[Answers]
) -> None:
    for indices in packs:
        for index in indices:
            answers[index].update(dict.fromkeys(groups[index], error))
