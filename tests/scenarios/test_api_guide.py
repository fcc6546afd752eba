"""docs/api.md: what a reader copies from it works."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.stack import ROOT, Stack, company, running

pytestmark = pytest.mark.process

GUIDE = (Path(ROOT) / "docs" / "api.md").read_text(encoding="utf-8")
ISSUE = """
from employees.api import keys
from employees.models import Company
print(keys.issue(Company.objects.get(), "guide", keys.SCOPES)[1])
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    needs("" if shutil.which("curl") else "no curl here (on Debian: apt install curl)")
    with running("embedded", tmp_path_factory.mktemp("guide")) as found:
        row = company("http://127.0.0.1:9", "http://127.0.0.1:9")
        found.provision({"company": row["company"], "users": row["users"]})
        yield found


def test_the_commands_of_the_guide_work(stack: Stack) -> None:
    environment = os.environ | {"CALLBRIDGE_URL": stack.url, "CALLBRIDGE_KEY": stack.shell(ISSUE).strip()}
    script = "set -euo pipefail\n" + "\necho\n".join(blocks("sh"))
    for command in (["bash", "-c", script], [sys.executable, "-c", blocks("python")[0]]):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "Nina Orlova" in stack.rows("SELECT name FROM employees_employee")[0]["name"]
    numbers = stack.rows("SELECT number FROM employees_extension ORDER BY number")
    assert [row["number"] for row in numbers] == ["204", "205"]
