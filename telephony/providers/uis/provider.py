"""UIS as a provider: what the protocol's parts do together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Literal
from urllib.parse import unquote_plus

from django.utils.translation import pgettext

from outbound.errors import Rejected
from outbound.http import Http
from telephony.providers.base import (
    Advice,
    Audio,
    Brand,
    Capability,
    Check,
    HistoryLeg,
    NotUnderstood,
    Parsed,
    PbxNumber,
    PbxUser,
    Provider,
    Question,
    Reply,
    Request,
    Secrets,
)
from telephony.providers.values import zone

from . import bodies, checks, commands, data_api, events, history, questions, recordings, simple_api
from .api import SIMPLE, Api
from .forms import UisForm


class Uis(Provider):
    """Call API v4.0, Data API v2.0, notifications and interactive call processing."""

    slug = "uis"
    title = "UIS"
    brands = (
        Brand("uis", "UIS", countries=("RU",), aliases=("ЮИС", "UISCOM")),
        Brand(
            "comagic",
            "CoMagic",
            countries=("RU",),
            aliases=("Комэджик", "Комагик"),
            defaults={
                "call_api_url": "https://callapi.comagic.ru/v4.0",
                "data_api_url": "https://dataapi.comagic.ru/v2.0",
                "media_url": "https://media.comagic.ru",
            },
        ),
        Brand(
            "callgear",
            "CallGear",
            aliases=("Колгир",),
            defaults={
                "call_api_url": "https://callapi.callgear.com/v4.0",
                "data_api_url": "https://dataapi.callgear.com/v2.0",
                "media_url": "",
            },
        ),
        Brand(
            "megafon2",
            "МегаФон 2.0",
            countries=("RU",),
            aliases=("MegaFon", "МегаФон", "admin-app.cp.megafon.ru"),
            defaults={
                "call_api_url": "https://callapi.cp.megafon.ru/v4.0",
                "data_api": SIMPLE,
                "data_api_url": "https://simple-api.cp.megafon.ru",
                "media_url": "",
            },
        ),
    )
    capabilities = frozenset(
        {
            Capability.DIAL,
            Capability.HANGUP,
            Capability.TRANSFER,
            Capability.USERS,
            Capability.NUMBERS,
            Capability.HISTORY,
            Capability.RECORDINGS,
        }
    )
    form = UisForm
    secret_fields = frozenset({"access_token", "data_token", "file_link"})
    methods = frozenset({"GET", "POST"})
    rings_phones = True

    # --- What UIS sends

    def authenticate(self, request: Request, secrets: Secrets) -> None:
        """Nothing is signed: whoever knows the connection's address is believed."""

    def reply(self, request: Request, secrets: Secrets) -> Reply:
        return Reply(200, b'{"ok":true}')

    def question(self, request: Request) -> Question | None:
        """A question that cannot be read is about nobody: it is answered all the same."""
        if request.path.strip("/") != questions.PATH:
            return None
        try:
            asked = questions.Asked.model_validate(request.once(bodies.fields))
        except ValueError:
            return Question("")
        return Question(asked.client_number, asked.numb, asked.call)

    def answer(self, request: Request, advice: Advice) -> Reply:
        return Reply(200, questions.answer(advice))

    def parse(self, request: Request, secrets: Secrets) -> list[Parsed]:
        try:
            return events.read(request.path, request.once(bodies.fields), zone(secrets.get("timezone", "")))
        except ValueError as error:
            raise NotUnderstood(str(error)) from error

    def shown(self, request: Request) -> str:
        return super().shown(request) or unquote_plus(request.query)

    # --- What we ask of UIS

    def check(self, http: Http, secrets: Secrets, webhook_url: str) -> list[Check]:
        where = zone(secrets.get("timezone", ""))
        return checks.run(Api(http, secrets), where, secrets.get("virtual_number", ""))

    def dial(self, http: Http, secrets: Secrets, *, command: str, extension: str, phone: str, line: str) -> None:
        """UIS knows employees by ids of its own."""
        api = Api(http, secrets, click=True)
        employee = next((user.vendor_id for user in _users(api) if user.extension == extension), "")
        if not employee:
            words = pgettext("UIS", "UIS has no employee with the extension %(extension)s.")
            raise Rejected(words % {"extension": extension}, code="no_employee")
        line = line or secrets.get("virtual_number", "")
        commands.dial(api, employee=employee, command=command, phone=phone, line=line)

    def hangup(self, http: Http, secrets: Secrets, *, command: str, leg: str) -> None:
        """Both sides are hung up: UIS ends calls, not legs."""
        commands.hangup(Api(http, secrets), leg)

    def transfer(
        self,
        http: Http,
        secrets: Secrets,
        *,
        command: str,
        leg: str,
        by: str,
        to: str,
        method: Literal["blind", "hold"],
    ) -> None:
        """There is one way for both methods: the client waits while the colleague is called."""
        commands.transfer(Api(http, secrets), leg=leg, to=to)

    def users(self, http: Http, secrets: Secrets) -> list[PbxUser]:
        return _users(Api(http, secrets))

    def numbers(self, http: Http, secrets: Secrets) -> list[PbxNumber]:
        api = Api(http, secrets)
        return simple_api.numbers(api) if api.simple else data_api.numbers(api)

    def history(self, http: Http, secrets: Secrets, since: datetime, until: datetime) -> Iterator[HistoryLeg]:
        api = Api(http, secrets)
        legs = simple_api.legs if api.simple else history.legs
        return legs(api, since, until, zone(secrets.get("timezone", "")))

    def recording(self, http: Http, secrets: Secrets, recording: str, url: str) -> Audio | None:
        return recordings.fetch(Api(http, secrets), secrets, recording, url)


def _users(api: Api) -> list[PbxUser]:
    return simple_api.users(api) if api.simple else data_api.users(api)
