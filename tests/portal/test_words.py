"""Every code that can be read has words, and our pages speak Russian."""

from __future__ import annotations

import ast
import gettext
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import translation

from crm_adapters.registry import all_adapters
from employees.models import Role
from integrations import dials, words
from outbound import errors
from telephony import routing
from telephony import words as telephony_words
from tests.portal.conftest import World
from tests.portal.test_isolation import ARGUMENTS, NO_PAGES, pages

ROOT = Path(settings.BASE_DIR)


def source(*names: str) -> str:
    return "\n".join((ROOT / name).read_text(encoding="utf-8") for name in names)


def test_reasons_of_the_plan_have_words() -> None:
    text = source("integrations/plan.py", "integrations/decisions.py")
    codes = set(re.findall(r'Verdict\(State\.\w+, "(\w+)"', text)) | set(re.findall(r'^[A-Z]+ = "(\w+)"$', text, re.M))
    assert codes >= {"internal_call", "employee_phone", "unknown_extension"}
    assert codes <= words.REASONS.keys()


def test_outcomes_of_crm_events_have_words() -> None:
    text = source("integrations/dials.py", "integrations/crm_events.py")
    codes = set(re.findall(r'Outcome\("(\w+)"', text)) | {dials.DIALLED, dials.REPEATED}
    assert codes >= {"nobody_mapped", "doubt", "connected"}
    assert codes == words.OUTCOMES.keys()
    assert set(dials.NOT_DIALLED) < codes


def test_refusals_of_adapters_have_words() -> None:
    for path in (ROOT / "crm_adapters").rglob("*.py"):
        own = adapter.reasons if (adapter := all_adapters().get(path.parent.name)) else {}
        for body in re.findall(r"def refuses\(.*?(?=\n    def |\nclass |\Z)", path.read_text(encoding="utf-8"), re.S):
            for code in re.findall(r'return "(\w+)"', body):
                assert code in {**words.REASONS, **own}, f"{path}: {code}"


def test_steps_of_the_house_have_names_of_their_own() -> None:
    for adapter in all_adapters().values():
        assert not words.STEPS.keys() & adapter.step_titles.keys(), adapter.slug


def test_routing_and_tracking_codes_have_words() -> None:
    text = source("integrations/routing.py", "telephony/routing.py", "telephony/tracking.py")
    codes = set(re.findall(r'Opinion\("(\w+)"', text)) | set(re.findall(r'code="(\w+)"', text))
    codes |= set(re.findall(r'else "(\w+)", details', text))
    codes |= set(re.findall(r'return "([a-z]+_[a-z_]+)"$', text, re.M))
    codes |= set(re.findall(r'"(crm_\w+)"\)', text)) | {routing.LATE, routing.TOO_LATE}
    assert {"manager_found", "nobody_known", "too_late", "recognised", "crm_no_time"} <= codes
    assert codes <= words.DECISIONS.keys()


def test_error_kinds_have_words() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    kinds = {value.kind for value in classes if issubclass(value, errors.OutboundError)}
    assert kinds <= words.ERRORS.keys()
    assert {f"crm_{kind}" for kind in kinds} <= words.DECISIONS.keys()
    assert set(re.findall(r'error_kind = "(\w+)"', source("integrations/sync.py"))) <= words.ERRORS.keys()


def test_refused_commands_have_words() -> None:
    codes = set(re.findall(r'code="(\w+)"', source("telephony/commands.py")))
    assert codes <= telephony_words.REFUSALS.keys()
    kinds = set(re.findall(r'_begin(?:_once)?\(\s*(?:connection, )"(\w+)"', source("telephony/commands.py")))
    assert kinds
    assert kinds <= telephony_words.COMMANDS.keys()


def test_purposes_have_words() -> None:
    text = "".join(
        path.read_text(encoding="utf-8")
        for room in ("telephony", "integrations")
        for path in (ROOT / room).glob("*.py")
    )
    purposes = set(re.findall(r'purpose="([^"]+)"', text))
    assert purposes >= {"dial", "client look-up"}
    assert purposes <= words.PURPOSES.keys()


def test_steps_of_adapters_have_words() -> None:
    for slug, adapter in all_adapters().items():
        for path in adapter.folder.rglob("*.py"):
            for step in re.findall(r'\bStep\("(\w+)"', path.read_text(encoding="utf-8")):
                assert step in words.steps(slug), f"{path}: {step}"


def test_words_take_what_is_missing() -> None:
    with translation.override("en"):
        assert telephony_words.in_words(telephony_words.DECISIONS, "recognised", {"utm_source": "ads"}).endswith("ads")
        assert telephony_words.in_words({}, "unheard_of") == "unheard_of"


# --- Russian ----------------------------------------------------------------------------------------------------------


def visible(html: str) -> str:
    html = re.sub(r"<(script|style|template|code|pre|option|svg)\b.*?</\1>", " ", html, flags=re.S)
    html = re.sub(r'<span class="material-symbols-outlined[^>]*>.*?</span>', " ", html, flags=re.S)
    main = html.split('id="content"', 1)[-1]
    return re.sub(r"<[^>]+>", " ", main)


SHOWN = [page for page in pages() if not page.posts and page.name not in NO_PAGES]


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.name)
def test_pages_have_no_english_words_of_ours(page: object, mine: World, owner: Client) -> None:
    name = page.name  # type: ignore[attr-defined]
    arguments = ARGUMENTS[name](mine) if name in ARGUMENTS else []
    response = owner.get(reverse(f"portal:{name}", args=arguments))
    if response.status_code == 302:
        return
    text = visible(response.content.decode())
    msgids = english_words()
    left = {line.strip() for line in text.splitlines() if line.strip() in msgids}
    assert not left


def english_words() -> set[str]:
    """All our English texts that have other words in Russian."""
    found = set()
    text = (ROOT / "locale/ru/LC_MESSAGES/django.po").read_text(encoding="utf-8")
    for english, russian in re.findall(r'^msgid "(.+)"\nmsgstr(?:\[0\])? "(.*)"$', text, re.M):
        if english != russian and re.search(r"[A-Za-z]{3,}", english):
            found |= {english, english[:1].upper() + english[1:]}
    return found


ROOMS = ("employees", "clients", "telephony", "integrations", "config")
GETTEXT = {"_", "gettext", "gettext_lazy", "gettext_noop", "ngettext"}


def said() -> set[str]:
    """Every English text of ours, in code and in templates."""
    found = set()
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            if "providers" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in GETTEXT:
                    first = node.args[0] if node.args else None
                    if isinstance(first, ast.Constant) and isinstance(first.value, str):
                        found.add(first.value)
    for path in (ROOT / "templates").rglob("*.html"):
        found |= set(re.findall(r'{% translate "([^"]+)"', path.read_text(encoding="utf-8")))
    return found


def test_everything_is_in_the_catalogue() -> None:
    """`manage.py makemessages -l ru` with the vendors' folders ignored, then translate, then compile."""
    with (ROOT / "locale/ru/LC_MESSAGES/django.mo").open("rb") as file:
        catalogue = gettext.GNUTranslations(file)
    known = {key[0] if isinstance(key, tuple) else key for key in catalogue._catalog}  # type: ignore[attr-defined]
    assert said() - known == set()


def test_the_catalogue_is_complete() -> None:
    text = (ROOT / "locale/ru/LC_MESSAGES/django.po").read_text(encoding="utf-8")
    assert 'msgstr ""\n\n' not in text.split("\n\n", 1)[1] + "\n\n"
    assert ", fuzzy" not in text


def test_the_language_is_switched(mine: World, signed_in: Callable[..., Client]) -> None:
    client = signed_in(mine.company, Role.OWNER)
    assert "Журнал звонков" in client.get("/").content.decode()
    client.post(reverse("set_language"), {"language": "en", "next": "/"})
    assert "Journal of calls" in client.get("/").content.decode()
