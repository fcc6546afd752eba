"""`manage.py replay`: every recorded sample of every vendor, through the product's own code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from crm_adapters import registry as crms
from telephony.providers import registry as pbxs
from tests.stack import ROOT

VENDORS: list[Any] = [*pbxs.all_providers().values(), *crms.all_adapters().values()]
SAMPLES = sorted(file for vendor in VENDORS for file in (vendor.folder / "samples").glob("*.json"))
COARSE = {"answered", "missed", "busy", "failed", ""}


def replay(files: Sequence[Path], *options: str) -> tuple[int, str]:
    command = [sys.executable, "manage.py", "replay", *options, *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, done.stdout


def told(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize("vendor", VENDORS, ids=[vendor.slug for vendor in VENDORS])
def test_every_vendor_has_samples(vendor: Any):
    assert any(vendor.folder in file.parents for file in SAMPLES)


def test_every_sample_becomes_what_it_expects():
    code, output = replay(SAMPLES, "--json")
    played = told(output)
    assert [row["file"] for row in played] == [str(file) for file in SAMPLES]
    assert {row["file"]: row["misses"] for row in played if row["misses"]} == {}
    assert code == 0


def test_a_line_of_json_says_what_others_scripts_read():
    _, output = replay([with_calls()], "--json")
    (row,) = told(output)
    assert set(row) == {"file", "scenario", "provider", "http", "calls", "misses"}
    assert row["http"]
    assert set(row["http"]) == {200}
    for call in row["calls"]:
        names = "direction client_phone virtual_number extension outcome talk_seconds recording"
        assert set(call) == set(names.split())
        assert call["outcome"] in COARSE


def with_calls() -> Path:
    """A sample of what a PBX sends that expects a call with an end."""
    folders = {provider.folder for provider in pbxs.all_providers().values()}
    files = (file for file in SAMPLES if folders & set(file.parents))
    samples = ((file, json.loads(file.read_text())) for file in files)
    return next(file for file, sample in samples if _sends(sample) and (sample.get("expect") or {}).get("outcome"))


def _sends(sample: dict[str, Any]) -> bool:
    return any(each["direction"] == "vendor->hub" for each in sample.get("exchanges", ()))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("outcome", "failed"), ("client_phone", "+79999999999"), ("talk_seconds", 9_999), ("extension", "000")],
)
def test_an_expectation_that_is_not_met_is_named(tmp_path: Path, name: str, wrong: Any):
    sample = json.loads(with_calls().read_text())
    sample["expect"][name] = wrong
    folder = tmp_path / with_calls().parent.parent.name
    folder.mkdir()
    file = folder / "wrong.json"
    file.write_text(json.dumps(sample))
    for stream in filter(Path.exists, [with_calls().with_suffix(".ami")]):
        shutil.copy(stream, folder)
    code, output = replay([with_calls(), file], "--json")
    good, bad = told(output)
    assert code == 1
    assert good["misses"] == []

    assert any(miss.startswith(f"{name}: expected {wrong!r}") for miss in bad["misses"])


def test_what_is_no_sample_is_named_and_stops_nothing(tmp_path: Path):
    broken = tmp_path / "broken.json"
    broken.write_text("{")
    code, output = replay([broken, tmp_path / "nothing.json", with_calls()])
    assert code == 1
    assert output.count("MISS") == 2
    assert output.count("ok  ") == 1
