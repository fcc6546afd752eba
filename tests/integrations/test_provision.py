"""One company as a file: made once, unchanged the second time, refused with lines and without a trace."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import yaml
from django.apps import apps
from django.core.management import call_command
from django.test import Client
from django.utils import translation

from employees import installation
from employees.models import Company, Employee, EmployeePhone, Extension, Installation, Membership, User
from integrations.models import Credential, EmployeeMapping, Integration
from integrations.provision import Refused, example, provision
from telephony.models import Connection, VirtualNumber

pytestmark = pytest.mark.django_db

FILE = """\
company:
  name: Demo Flowers
  time_zone: Europe/Moscow
  region: RU
  language: ru

users:
  - {email: owner@flowers.example, role: owner, password: "demo-Passw0rd-1"}

employees:
  - {name: Anna Ivanova, extensions: ["101"], phones: ["8 900 000-01-01"]}
  - {name: Boris Petrov, extensions: ["0102"], phones: []}

connections:
  - key: pbx
    provider: mango
    brand: mango
    name: Mango
    credentials:
      api_url: http://127.0.0.1:9201
      api_key: demo0vpbx0api0key0000000000000a1
      api_salt: demo0vpbx0api0salt000000000000b2
    numbers:
      - {number: "+74950000001", line_name: "Ads"}
      - {number: "sip:main@demo.mangosip.ru", line_name: "Office"}

crm_credentials:
  - key: portal
    crm: bitrix24
    name: Our portal
    credentials:
      domain: http://127.0.0.1:9101
      client_id: local.0000000000000000.00000001
      client_secret: demo-client-secret
      oauth_url: http://127.0.0.1:9101
      access_token: demo-access
      refresh_token: demo-refresh
      application_token: demo-application-token
      member_id: demo-member

integrations:
  - key: main
    connections: [pbx]
    credential: portal
    active: true
    numbers: []
    settings:
      telephony_mode: ip
      forward_to_personal_manager: true
      default_responsible_incoming: 1
      assign_incoming_to: first
      default_responsible_outgoing: "1"
      utm_tags: [utm_source, utm_medium]
    employee_mapping:
      - {extension: "101", crm_user: "12", use_for_personal_manager: true}
      - {extension: 0102, crm_user: 13, use_for_personal_manager: false}
"""
SECRETS = ("demo0vpbx0api0key", "demo0vpbx0api0salt", "demo-client-secret", "demo-refresh", "demo-Passw0rd-1")


@pytest.fixture(autouse=True)
def _english() -> Any:
    with translation.override("en"):
        yield


def counted() -> dict[str, int]:
    """Rows of every model of ours."""
    ours = ("employees", "telephony", "integrations", "clients")
    return {
        model.__name__: model._default_manager.count()
        for app in ours
        for model in apps.get_app_config(app).get_models()
    }


def refused(text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(Refused) as caught:
        provision(text)
    return [(problem.line, problem.path, problem.words) for problem in caught.value.problems]


def line_of(text: str, part: str) -> int:
    return next(number for number, line in enumerate(text.splitlines(), 1) if part in line)


def as_json(text: str = FILE) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(text)
    data["integrations"][0]["employee_mapping"][1]["extension"] = "0102"
    return data


# --- What is made -----------------------------------------------------------------------------------------------------


def test_company_of_the_file() -> None:
    outcome = provision(FILE)
    company = Company.objects.get()
    assert (company.name, company.region, company.language) == ("Demo Flowers", "RU", "ru")
    user = User.objects.get()
    assert user.check_password("demo-Passw0rd-1")
    assert Membership.objects.get(company=company, user=user).role == "owner"
    extensions = Extension.objects.values_list("number", "employee__name", "handling")
    assert set(extensions) == {("101", "Anna Ivanova", "employee"), ("0102", "Boris Petrov", "employee")}
    assert EmployeePhone.objects.get().phone == "+79000000101"
    connection = outcome.connections["pbx"]
    assert connection.name == "Mango"
    assert connection.credentials["api_salt"] == "demo0vpbx0api0salt000000000000b2"
    assert connection.credentials["greeting_seconds"] == "2.5"
    assert set(connection.virtual_numbers.values_list("number", "line_name")) == {
        ("+74950000001", "Ads"),
        ("sip:main@demo.mangosip.ru", "Office"),
    }
    credential = outcome.credentials["portal"]
    assert (credential.state, credential.name) == (Credential.State.READY, "Our portal")
    assert credential.values["refresh_token"] == "demo-refresh"
    integration = outcome.integrations["main"]
    assert integration.active
    assert not integration.filter_numbers
    assert integration.settings["forward_to_personal_manager"] is True
    assert integration.settings["create_entity_incoming"] is False
    assert integration.settings["utm_tags"] == ["utm_source", "utm_medium"]
    assert integration.settings["default_responsible_incoming"] == "1"
    mapping = integration.mapping.values_list("employee__name", "crm_user", "use_for_personal_manager")
    assert set(mapping) == {("Anna Ivanova", "12", True), ("Boris Petrov", "13", False)}


def test_a_company_as_others_write_it() -> None:
    file = Path(__file__).with_name("company.yaml")
    assert provision(file.read_text(encoding="utf-8")).integrations["main"].active


def test_json_says_the_same() -> None:
    provision(FILE)
    assert provision(json.dumps(as_json(), indent="\t")).changes == []


def test_second_time_changes_nothing() -> None:
    provision(FILE)
    before, version = counted(), installation.refresh()
    outcome = provision(FILE)
    assert outcome.changes == []
    assert (counted(), installation.refresh()) == (before, version)


def test_change_is_made_in_place() -> None:
    first = provision(FILE)
    changed = FILE.replace('line_name: "Ads"', 'line_name: "Site"').replace("role: owner", "role: operator")
    changed = changed.replace("active: true", "active: false").replace('phones: ["8 900 000-01-01"]', "phones: []")
    second = provision(changed)
    assert second.company == first.company
    assert VirtualNumber.objects.get(number="+74950000001").line_name == "Site"
    assert Membership.objects.get().role == "operator"
    assert not Integration.objects.get().active
    assert not EmployeePhone.objects.exists()


def test_lists_are_whole() -> None:
    provision(FILE)
    provision(FILE.replace('extensions: ["0102"]', 'extensions: ["103"]').replace("extension: 0102", "extension: 103"))
    gone = Extension.objects.get(number="0102")
    assert (gone.employee, gone.handling) == (None, Extension.Handling.UNKNOWN)
    assert Extension.objects.get(number="103").employee == Employee.objects.get(name="Boris Petrov")
    less = FILE.replace('      - {number: "sip:main@demo.mangosip.ru", line_name: "Office"}\n', "")
    less = less.replace("      - {extension: 0102, crm_user: 13, use_for_personal_manager: false}\n", "")
    provision(less)
    assert VirtualNumber.objects.count() == 1
    assert EmployeeMapping.objects.count() == 1


def test_what_is_left_out_stays() -> None:
    provision(FILE)
    before = counted()
    assert provision("company: {name: Demo Flowers}").changes == []
    assert provision("company: {name: Demo Flowers}\nemployees: [{name: Anna Ivanova}]").changes == []
    assert counted() == before


def test_stored_values_stay_where_the_file_is_silent() -> None:
    connection = provision(FILE).connections["pbx"]
    connection.credentials = {**connection.credentials, "greeting_seconds": "4.0"}
    connection.save()
    assert provision(FILE).changes == []
    assert Connection.objects.get().credentials["greeting_seconds"] == "4.0"


def test_filter_of_numbers() -> None:
    integration = provision(FILE.replace("numbers: []", 'numbers: ["8 (495) 000-00-01"]')).integrations["main"]
    assert integration.filter_numbers
    assert [row.number for row in integration.numbers.all()] == ["+74950000001"]
    integration = provision(FILE).integrations["main"]
    assert not integration.filter_numbers


def test_extension_goes_over_to_another_employee() -> None:
    provision(FILE)
    text = FILE.replace('Anna Ivanova, extensions: ["101"]', "Anna Ivanova, extensions: []")
    text = text.replace('extensions: ["0102"]', 'extensions: ["0102", "101"]')
    text = text.replace('      - {extension: "101", crm_user: "12", use_for_personal_manager: true}\n', "")
    provision(text)
    assert Extension.objects.get(number="101").employee == Employee.objects.get(name="Boris Petrov")


def test_password_is_the_first_one_only() -> None:
    provision(FILE)
    user = User.objects.get()
    user.set_password("his-own-Passw0rd")
    user.save()
    assert provision(FILE).changes == []
    user.refresh_from_db()
    assert user.check_password("his-own-Passw0rd")
    assert provision(FILE.replace(', password: "demo-Passw0rd-1"', "")).changes == []


def test_renewed_tokens_are_kept() -> None:
    credential = provision(FILE).credentials["portal"]
    credential.values = {**credential.values, "access_token": "newer", "refresh_token": "newer too"}
    credential.save()
    assert provision(FILE).changes == []
    credential.refresh_from_db()
    assert credential.values["refresh_token"] == "newer too"


def test_refused_account_takes_the_tokens_of_the_file() -> None:
    credential = provision(FILE).credentials["portal"]
    credential.state, credential.state_words = Credential.State.REFUSED, "expired"
    credential.save()
    assert provision(FILE).changes == [], "the tokens that were refused"
    provision(FILE.replace("demo-refresh", "fresh").replace("demo-access", "fresh"))
    credential.refresh_from_db()
    assert (credential.state, credential.state_words) == (Credential.State.READY, "")
    assert credential.values["refresh_token"] == "fresh"


def test_another_portal_leaves_no_token_behind() -> None:
    provision(FILE)
    text = FILE.replace("member_id: demo-member", "member_id: another").replace(
        "      refresh_token: demo-refresh\n", ""
    )
    values = provision(text).credentials["portal"].values
    assert values["member_id"] == "another"
    assert "refresh_token" not in values


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ("client_id: a\n      client_secret: b", Credential.State.NEW),
        ("webhook_url: https://portal.example.com/rest/1/abcdef/", Credential.State.READY),
        ("client_id: a\n      client_secret: b\n      access_token: t", Credential.State.READY),
    ],
)
def test_state_of_a_new_account(given: str, state: Credential.State) -> None:
    text = "company: {name: A}\ncrm_credentials:\n  - key: k\n    crm: bitrix24\n    credentials:\n"
    row = provision(f"{text}      domain: portal.example.com\n      {given}\n").credentials["k"]
    assert (row.state, row.name) == (state, "k")


# --- Companies among each other ---------------------------------------------------------------------------------------


def test_companies_with_the_same_names_do_not_meet() -> None:
    one = provision(FILE)
    other_text = FILE.replace("Demo Flowers", "Other Flowers").replace("owner@flowers", "owner@other")
    other = provision(other_text)
    assert one.company != other.company
    assert one.connections["pbx"] != other.connections["pbx"]
    assert one.credentials["portal"].handler_url != other.credentials["portal"].handler_url
    assert other.integrations["main"].mapping.filter(employee__company=one.company).count() == 0
    assert provision(FILE).changes == []
    assert provision(other_text).changes == []
    assert Company.objects.count() == 2


def test_one_person_in_two_companies() -> None:
    provision(FILE)
    provision(FILE.replace("Demo Flowers", "Other Flowers").replace("role: owner", "role: read_only"))
    assert set(Membership.objects.values_list("company__name", "role")) == {
        ("Demo Flowers", "owner"),
        ("Other Flowers", "read_only"),
    }


def test_company_that_is_not_unique() -> None:
    Company.objects.create(name="Demo Flowers")
    Company.objects.create(name="Demo Flowers")
    assert ("company.name", "there are several with this name: rename one of them") in [
        problem[1:] for problem in refused(FILE)
    ]


# --- What is refused --------------------------------------------------------------------------------------------------

WRONG = [
    ("time_zone: Europe/Moscow", "time_zone: Europe/Moskva", "company.time_zone", "is not a time zone"),
    ("region: RU", "region: XX", "company.region", "is not a country"),
    ("language: ru", "language: klingon", "company.language", "not a valid choice"),
    ("  name: Demo Flowers", "  nick: Demo Flowers", "company.nick", "unknown key"),
    ("  region: RU", "  region: RU\n  region: KZ", "company.region", "there already, in line 4"),
    ("role: owner", "role: boss", "users[0].role", "is no role"),
    ("email: owner@flowers.example", "email: owner", "users[0].email", "valid email"),
    (', password: "demo-Passw0rd-1"', "", "users[0].password", "is missing"),
    ("demo-Passw0rd-1", "password", "users[0].password", "too common"),
    ('phones: ["8 900 000-01-01"]', 'phones: ["12"]', "employees[0].phones[0]", "is not a phone number"),
    ('extensions: ["0102"]', 'extensions: ["0102", "101"]', "employees[1].extensions[1]", "there already, in line 11"),
    ('extensions: ["0102"]', 'extensions: "0102"', "employees[1].extensions", "must be a list"),
    ("name: Boris Petrov", "name: Anna Ivanova", "employees[1].name", "there already"),
    ("name: Boris Petrov", "nome: Boris Petrov", "employees[1].name", "is missing"),
    ("name: Boris Petrov", "name: yes", "employees[1].name", "write it in quotes"),
    ("provider: mango", "provider: mongo", "connections[0].provider", "is not installed; there are: "),
    ("brand: mango", "brand: papaya", "connections[0].brand", "is no brand"),
    ("api_url: http://127.0.0.1:9201", "api_url: 'ftp:nowhere'", "connections[0].credentials.api_url", "address"),
    ("      api_salt: demo0vpbx0api0salt000000000000b2\n", "", "connections[0].credentials.api_salt", "required"),
    ("api_salt: ", "salt: ", "connections[0].credentials.salt", "unknown key; known here are: api_url"),
    ('number: "+74950000001"', 'number: "shop"', "connections[0].numbers[0].number", "neither a phone number"),
    ("crm: bitrix24", "crm: bitrix", "crm_credentials[0].crm", "is not installed"),
    ("domain: http://127.0.0.1:9101", "domain: '???'", "crm_credentials[0].credentials.domain", "no portal's address"),
    ("connections: [pbx]", "connections: [pbx, abx]", "integrations[0].connections[1]", "no connection “abx”"),
    ("connections: [pbx]", "connections: []", "integrations[0].connections", "is empty"),
    ("    connections: [pbx]\n", "", "integrations[0].connections", "is missing"),
    ("credential: portal", "credential: door", "integrations[0].credential", "no CRM account “door”"),
    ("active: true", "active: maybe", "integrations[0].active", "must be true or false"),
    ("numbers: []", 'numbers: ["+74950000009"]', "integrations[0].numbers[0]", "is no number of these connections"),
    ("telephony_mode: ip", "telephony_mode: pots", "integrations[0].settings.telephony_mode", "valid choice"),
    ("telephony_mode: ip", "telephony: ip", "integrations[0].settings.telephony", "unknown key"),
    ("incoming: 1\n", "incoming: Anna\n", "integrations[0].settings.default_responsible_incoming", "Choose a user"),
    ('extension: "101"', 'extension: "109"', "integrations[0].employee_mapping[0].extension", "no employee has"),
    ('crm_user: "12", ', "", "integrations[0].employee_mapping[0].crm_user", "is missing"),
]


@pytest.mark.parametrize(("part", "wrong", "path", "words"), WRONG, ids=[f"{row[2]}-{row[3][:12]}" for row in WRONG])
def test_error_with_its_line(part: str, wrong: str, path: str, words: str) -> None:
    before, version = counted(), Installation.objects.values_list("version", flat=True).first()
    assert part in FILE
    text = FILE.replace(part, wrong, 1)
    problems = refused(text)
    said = [problem for problem in problems if problem[1] == path]
    assert said, problems
    assert words in said[0][2]
    near = {line_of(FILE, part.splitlines()[0]), line_of(FILE, part.splitlines()[0]) + wrong.count("\n")}
    opened = path.rpartition(".")[0].rpartition(".")[2].partition("[")[0]
    if "missing" in words or "required" in words:
        near |= {number for number, line in enumerate(text.splitlines(), 1) if opened in line or "- " in line}
    assert said[0][0] in near
    assert counted() == {**before, "Installation": counted()["Installation"]}
    assert version is None or version == installation.refresh()


def test_all_errors_at_once() -> None:
    text = (
        FILE.replace("role: owner", "role: boss").replace("crm: bitrix24", "crm: x").replace("region: RU", "region: 1")
    )
    paths = {path for _line, path, _words in refused(text)}
    assert paths == {"company.region", "users[0].role", "crm_credentials[0].crm"}


def test_no_follow_up_errors() -> None:
    """What refers to a wrong thing is not wrong itself."""
    assert {path for _line, path, _words in refused(FILE.replace("provider: mango", "provider: x"))} == {
        "connections[0].provider"
    }


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "empty"),
        ("company: [", 1, "expected"),
        ("company:\n  name: 'x", 2, "end of stream"),
        ("a: 1\n---\nb: 2", 2, "another document"),
        ("- a", 1, "keys with their values"),
        ("company: {name: A}\nusers: &a [*a]", 2, "begins with & or *"),
        ("company:\n  name: !secret x", 2, "begins with !"),
        ('company: {name: "a\\0b"}', 1, "NUL"),
        ("company: {name: A}\n<<: {users: []}", 2, "simple word"),
        ("[" * 3000, 0, ""),
    ],
)
def test_writing_that_cannot_be_read(text: str, line: int, words: str) -> None:
    problems = refused(text)
    assert any(words in problem[2] and problem[0] in (line, line + 1) for problem in problems) or not line, problems


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("spoil", ["*{}", "!{}", "[{}]", "{{{}: 1}}", "'{}", "&{}", "x: {}: y", "\t{}", "@{}"])
def test_secrets_are_not_shown_in_errors(secret: str, spoil: str) -> None:
    value = next(word for word in FILE.replace('"', " ").replace("}", " ").split() if word.startswith(secret))
    text = FILE.replace(f'"{value}"', value).replace(value, spoil.format(value))
    assert all(value not in f"{path} {words}" for _line, path, words in refused(text))


def test_form_that_repeats_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    from django import forms

    from telephony.providers.mango.forms import MangoForm

    def clean(self: forms.Form) -> None:
        raise forms.ValidationError(f"{self.cleaned_data['api_salt']} is too short")

    monkeypatch.setattr(MangoForm, "clean", clean)
    ((line, path, words),) = refused(FILE)
    assert (line, path, words) == (
        line_of(FILE, "credentials:"),
        "connections[0].credentials",
        "this value is not valid",
    )


# --- The command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "company.yaml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def test_json_of_the_command(written: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    call_command("provision", written(FILE), "--json")
    out, err = capsys.readouterr()
    said = json.loads(out)
    connection, credential = Connection.objects.get(), Credential.objects.get()
    url = connection.address.url
    assert said["company"] == {"id": str(Company.objects.get().uuid), "name": "Demo Flowers"}
    assert said["connections"] == {
        "pbx": {"id": str(connection.uuid), "webhook_url": url, "webhook_urls": {"events": url}}
    }
    portal = said["crm_credentials"]["portal"]
    assert (portal["id"], portal["handler_url"]) == (str(credential.uuid), credential.handler_url)
    assert portal["authorise_url"].startswith("http://127.0.0.1:9101/oauth/authorize/?client_id=local.")
    assert said["integrations"] == {"main": {"id": str(Integration.objects.get().uuid), "active": True}}
    assert "api_key" not in said
    assert not err
    assert not any(secret in out for secret in SECRETS)


def test_owner_comes_back_from_the_crm(client: Client) -> None:
    """The portal takes the state of the address that was printed, from the company's owner alone."""
    outcome = provision(
        FILE.replace("users:", "users:\n  - {email: a@b.example, role: operator, password: demo-Pass-2}")
    )
    address = outcome.as_dict()["crm_credentials"]["portal"]["authorise_url"]
    back = "/oauth/bitrix24/?" + urlencode({"state": parse_qs(urlsplit(address).query)["state"][0], "error": "denied"})
    page = f"/credentials/{outcome.credentials['portal'].uuid}/"
    client.force_login(User.objects.get(email="owner@flowers.example"))
    assert client.get(back).headers["Location"] == page
    client.force_login(User.objects.get(email="a@b.example"))
    assert client.get(back).headers.get("Location") != page


def test_summary_of_the_command(written: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    call_command("provision", written(FILE))
    call_command("provision", written(FILE))
    out = capsys.readouterr().out
    assert Connection.objects.get().address.url in out
    assert "Nothing changed." in out
    assert not any(secret in out for secret in SECRETS)


def test_errors_of_the_command(written: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    path = written(FILE.replace("role: owner", "role: boss"))
    with pytest.raises(SystemExit) as caught:
        call_command("provision", path, "--json")
    out, err = capsys.readouterr()
    assert caught.value.code == 1
    assert not out
    assert err.startswith(f"{path}:8: users[0].role: is no role")
    assert not any(secret in err for secret in SECRETS)
    assert not Company.objects.exists()


@pytest.mark.parametrize("language", ["en", "ru"])
def test_example_is_accepted(language: str) -> None:
    with translation.override(language):
        text = example()
        outcome = provision(text)
        assert provision(text).changes == []
    assert outcome.company.name
    for connection in outcome.connections.values():
        for name in connection.protocol.form.base_fields:
            assert f"\n      {name}: " in text
    for credential in outcome.credentials.values():
        adapter = credential.adapter
        for name in (*adapter.credential_form.base_fields, *adapter.settings_form.base_fields):
            assert f"\n      {name}: " in text
    assert not any(row.active for row in outcome.integrations.values())


def test_example_of_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("provision", "--example")
    assert yaml.safe_load(capsys.readouterr().out)["company"]["region"] == "RU"
