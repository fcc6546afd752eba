"""A partner's story, by the API alone: a customer, his PBX and CRM, a call that lands, new keys, a trouble cured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests

from tests.emulators.bitrix24 import Bitrix24Emulator
from tests.emulators.mango import MangoEmulator
from tests.receiver import Receiver
from tests.stack import Stack, running, wait_until

pytestmark = pytest.mark.process

ISSUE = """
from employees.api import keys
from employees.models import Partner
print(keys.issue(Partner.objects.create(name="Operator"), "cabinet", keys.SCOPES)[1])
"""
CLIENT = "79000030001"


class Api:
    """The API as a program has it: what is refused is an error."""

    def __init__(self, url: str, secret: str) -> None:
        self._url = f"{url}/api/v1"
        self._session = requests.Session()
        self._session.headers["Accept-Language"] = "en"
        self.secret = secret

    @property
    def secret(self) -> str:
        return str(self._session.headers["Authorization"])

    @secret.setter
    def secret(self, value: str) -> None:
        self._session.headers["Authorization"] = f"Bearer {value}"

    def about(self, company: str) -> None:
        self._session.headers["Callbridge-Company"] = company

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> requests.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self._session.request(method, f"{self._url}/{path}", json=body, headers=named, timeout=30)

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        answer = self.ask(method, path, body, **headers)
        assert answer.ok, f"{method} {path}: {answer.status_code}\n{answer.text}"
        return answer.json() if answer.content else None


class Story:
    def __init__(self, stack: Stack, mango: MangoEmulator, bitrix: Bitrix24Emulator, receiver: Receiver) -> None:
        self.stack, self.mango, self.bitrix, self.receiver = stack, mango, bitrix, receiver
        self.api = Api(stack.url, stack.shell(ISSUE).strip())

    def fresh_limits(self) -> None:
        """The vendor's limits have tests of their own: here one question follows another faster than people click."""
        self.stack.rows("DELETE FROM telephony_ratestate")
        self.mango.account().limiter._seen.clear()

    def listed(self, client: str) -> dict[str, Any] | None:
        """The finished call with a client, as the API lists it."""
        found = self.api("GET", f"calls?q=%2B{client}")["results"]
        return next((row for row in found if row["state"] == "finished"), None)

    def call(self, client: str) -> dict[str, Any]:
        """A client calls and is answered: the call, once it is over."""
        self.mango.call("incoming_direct", client=client, speed=1000)
        return wait_until(lambda: self.listed(client), "the call is not listed", 30)

    def cleaned(self, place: str) -> bool:
        """Whether nothing of a test call is left; not yet, while something is under way."""
        answer = self.api.ask("POST", f"{place}/clean")
        return answer.ok and not answer.json()["failures"]

    def standing(self, call: dict[str, Any]) -> str:
        (account,) = self.api("GET", f"calls/{call['uuid']}/passport")["accounts"]
        return str(account["standing"]["code"])


@pytest.fixture(scope="module")
def story(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with ExitStack() as exits:
        receiver = exits.enter_context(Receiver())
        bitrix = exits.enter_context(Bitrix24Emulator())
        mango = exits.enter_context(MangoEmulator(hub_url="http://127.0.0.1:9/", speed=1000))
        stack = exits.enter_context(running(kind, tmp_path_factory.mktemp(f"partner-{kind}")))
        bitrix.portal.config.redirect_uri = f"{stack.url}/oauth/bitrix24/"
        yield Story(stack, mango, bitrix, receiver)


def test_from_a_new_customer_to_a_trouble_that_is_cured(story: Story) -> None:
    _make_the_customer(story)
    connection = _connect_mango(story)
    credential = _connect_bitrix(story)
    _integrate(story, credential)
    _play_a_test_call(story)
    _see_a_real_call(story)
    _rotate(story, connection)
    _cure(story, credential)


def _make_the_customer(story: Story) -> None:
    asked = {"name": "Flowers", "region": "RU", "time_zone": "Europe/Moscow", "language": "en"}
    made = story.api("POST", "companies", asked, Idempotency_Key="flowers")
    assert story.api("POST", "companies", asked, Idempotency_Key="flowers") == made
    story.api.about(made["uuid"])
    story.api("POST", "invitations", {"email": "owner@flowers.example", "role": "owner"})
    kinds = ["call.ringing", "call.finished", "recording.ready"]
    hook = story.api("POST", "webhooks", {"url": story.receiver.url, "kinds": kinds})
    story.receiver.secret = hook["secret"]


def _connect_mango(story: Story) -> str:
    account = story.mango.account()
    keys = {"api_url": story.mango.url, "api_key": account.key, "api_salt": account.salt}
    made = story.api("POST", "connections", {"brand": "mango", "keys": keys})
    assert account.salt not in str(made)
    account.hub_url = made["webhook_url"]  # what he copies into the PBX's cabinet
    checked = story.api("POST", f"connections/{made['uuid']}/check")
    assert checked["ok"], checked
    story.fresh_limits()
    users = story.api("GET", f"connections/{made['uuid']}/users")
    people = [{"name": user["name"], "extensions": [user["extension"]]} for user in users]
    assert len(story.api("PUT", "employees/bulk", people)) == len(account.employees)
    story.fresh_limits()
    assert story.api("POST", f"connections/{made['uuid']}/numbers/load")["new"]
    return str(made["uuid"])


def _connect_bitrix(story: Story) -> str:
    config, url = story.bitrix.portal.config, story.bitrix.url
    keys = {
        "domain": url,
        "client_id": config.client_id,
        "client_secret": config.client_secret,
        "oauth_url": url,
    }
    made = story.api("POST", "credentials", {"crm": "bitrix24", "keys": keys})
    assert config.client_secret not in str(made)
    _consent(story, made["connect_url"])
    return str(made["uuid"])


def _consent(story: Story, url: str) -> None:
    """What the portal's administrator does in his browser."""
    assert requests.get(url, timeout=30).ok
    (account,) = story.api("GET", "credentials")["results"]
    assert account["state"] == "ready"


def _integrate(story: Story, credential: str) -> None:
    made = story.api("POST", "integrations", {"credential": credential})
    place = f"integrations/{made['uuid']}"
    guesses = [row for row in story.api("GET", f"{place}/mapping") if row["suggestion"]]
    mapped = [{"employee": row["employee"], "crm_user": row["suggestion"]} for row in guesses]
    assert story.api("PUT", f"{place}/mapping", mapped)
    settings = {
        "create_entity_incoming": True,
        "default_responsible_incoming": "1",
        "default_responsible_outgoing": "1",
        "assign_incoming_to": "first",
    }
    changed = story.api("PATCH", place, {"active": True, "settings": settings})
    assert changed["active"]
    assert not changed["warnings"]


def _play_a_test_call(story: Story) -> None:
    assert story.api("POST", "test-calls/rehearse", {})["wanted"]
    assert not story.bitrix.calls
    played = story.api("POST", "test-calls", {})
    place = f"test-calls/{played['uuid']}"

    def landed() -> Any:
        course = story.api("GET", place)
        return course["landed"] and course["settled"]

    wait_until(landed, "the test call has not landed", 60)
    (card,) = story.bitrix.calls
    assert card.finish
    wait_until(lambda: story.cleaned(place), "the test call is not cleaned up", 30)
    assert not story.bitrix.portal.entities["LEAD"]


def _see_a_real_call(story: Story) -> None:
    call = story.call(CLIENT)
    assert (call["direction"], call["outcome"], call["client_phone"]) == ("in", "answered", f"+{CLIENT}")
    wait_until(lambda: story.standing(call) == "written", lambda: story.standing(call), 60)
    assert [card.phone.lstrip("+") for card in story.bitrix.calls][-1] == CLIENT

    def told() -> set[str]:
        events = story.receiver.events.values()
        return {event["type"] for event in events if event["data"].get("client_phone") == f"+{CLIENT}"}

    wait_until(lambda: told() >= {"call.ringing", "call.finished"}, lambda: f"{told()}", 40)
    assert not story.receiver.forged


def _rotate(story: Story, connection: str) -> None:
    """New secrets on both sides; the old ones overlap."""
    (key,) = story.api("GET", "keys")["results"]
    old, fresh = story.api.secret.removeprefix("Bearer "), story.api("POST", f"keys/{key['uuid']}/rotate")["secret"]
    assert story.api("GET", "calls")
    story.api.secret = fresh
    assert fresh != old
    rotated = story.api("POST", f"connections/{connection}/rotate")
    story.mango.account().hub_url = rotated["webhook_url"]
    assert story.call("79000030002")["outcome"] == "answered"


def _cure(story: Story, credential: str) -> None:
    """The customer's administrator takes our application's rights back: found, and given again."""
    story.bitrix.portal.tokens.clear()
    story.bitrix.portal.refresh_tokens.clear()
    call = story.call("79000030003")
    wait_until(lambda: story.standing(call) == "paused", lambda: story.standing(call), 60)
    assert any(row["cause"].startswith("account:") for row in story.api("GET", "troubles"))
    again = story.api("POST", f"credentials/{credential}/connect")
    _consent(story, again["url"])
    wait_until(lambda: story.standing(call) == "written", lambda: story.standing(call), 60)
    assert not [row for row in story.api("GET", "troubles") if row["cause"].startswith("account:")]
