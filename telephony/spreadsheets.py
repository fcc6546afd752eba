"""Tables as files: CSV as the reader's Excel expects it, and XLSX. Rows are written as they come and are not kept.
A list that somebody has in XLSX is read as the text that he would have written.

What comes from outside is never a formula. In CSV, where Excel guesses, an apostrophe is put before whatever would
begin one; a phone number is none and stays as it is. In XLSX a cell says itself that it is text.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import IO, Any, Protocol

from django.utils import timezone
from django.utils.translation import get_language

FORMATS = [("xlsx", "XLSX"), ("csv", "CSV")]
TYPES = {"csv": "text/csv; charset=utf-8", "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}
MOST_ROWS = 1_048_575
"""An XLSX sheet takes so many beside its heading."""
ZIP = b"PK\x03\x04"
"""How an XLSX begins, which is a ZIP."""
_FORMULA = re.compile(r"\s*[=+\-@]|[\t\r\n]")
_PHONE = re.compile(r"\+[\d\s()*-]+")


class Table(Protocol):
    def write(self, row: Iterable[Any]) -> None: ...

    def close(self) -> None: ...


class Csv:
    """Semicolons for Russian, whose comma is the decimal one."""

    def __init__(self, stream: IO[bytes]):
        stream.write(codecs.BOM_UTF8)
        self._text = io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True)
        self._writer = csv.writer(self._text, delimiter=";" if (get_language() or "").startswith("ru") else ",")

    def write(self, row: Iterable[Any]) -> None:
        self._writer.writerow([_plain(value) for value in row])

    def close(self) -> None:
        self._text.detach()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return local(value).isoformat(" ", "seconds")
    if isinstance(value, timedelta):
        return str(timedelta(seconds=round(value.total_seconds())))
    if isinstance(value, str) and _FORMULA.match(value) and not _PHONE.fullmatch(value):
        return f"'{value}"
    return value


def local(moment: datetime) -> datetime:
    """In the company's zone, without saying so: Excel knows no zones."""
    return timezone.localtime(moment).replace(tzinfo=None, microsecond=0)


def writer(kind: str, stream: IO[bytes]) -> Table:
    if kind == "csv":
        return Csv(stream)
    from .xlsx import Xlsx  # its library is a tenth of our start, and hardly any process writes such files

    return Xlsx(stream)
