"""XLSX: written row by row (see `spreadsheets.py`), and lists read from it."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from itertools import islice
from typing import IO, Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from openpyxl import Workbook, load_workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.utils.exceptions import InvalidFileException

from .spreadsheets import local

MOST_READ = 10_000
MOST_COLUMNS = 20
MOST_UNPACKED = 32 * 1024 * 1024
"""Of a sheet that is read: rows, columns, bytes of its file unpacked."""


class Xlsx:
    def __init__(self, stream: IO[bytes]):
        self._stream = stream
        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet()

    def write(self, row: Iterable[Any]) -> None:
        self._sheet.append([self._cell(value) for value in row])

    def _cell(self, value: Any) -> Any:
        if isinstance(value, datetime):
            return local(value)
        if isinstance(value, timedelta):
            cell = WriteOnlyCell(self._sheet, value)
            cell.number_format = "[h]:mm:ss"
            return cell
        if isinstance(value, str):
            cell = WriteOnlyCell(self._sheet, ILLEGAL_CHARACTERS_RE.sub("", value))
            cell.data_type = "s"
            return cell
        return value

    def close(self) -> None:
        self._book.save(self._stream)


# --- Reading ----------------------------------------------------------------------------------------------------------


def lines_of(content: bytes) -> str:
    """The first sheet of an XLSX as lines of CSV with semicolons, each row in a line of its own. A formula is what it
    came to last, or stands there itself where no value is kept. Raises `ValidationError`."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as parts:
            if sum(part.file_size for part in parts.infolist()) > MOST_UNPACKED:
                raise ValidationError(_("The spreadsheet is too large for a list of numbers. Divide it."))
        values, formulas = (_first_sheet(content, data_only=with_values) for with_values in (True, False))
        rows = [
            [_shown(formula if value is None else value) for value, formula in zip(*pair, strict=True)]
            for pair in zip(values, formulas, strict=True)
        ]
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, TypeError, SyntaxError) as error:
        words = _("This spreadsheet cannot be read. Open it in Excel, choose “Save as”, then XLSX or CSV.")
        raise ValidationError(words) from error
    text = io.StringIO()
    csv.writer(text, delimiter=";", lineterminator="\n").writerows(_trimmed(row) for row in rows)
    return text.getvalue()


def _first_sheet(content: bytes, *, data_only: bool) -> list[tuple[Any, ...]]:
    book = load_workbook(io.BytesIO(content), read_only=True, data_only=data_only)
    try:
        sheet = book.worksheets[0]
        sheet.reset_dimensions()  # some writers say a wrong size
        rows = list(islice(sheet.iter_rows(max_col=MOST_COLUMNS, values_only=True), MOST_READ + 1))
    finally:
        book.close()
    if len(rows) > MOST_READ:
        raise ValidationError(_("The sheet goes on below row %(most)d. Divide it.") % {"most": MOST_READ})
    return rows


def _shown(value: Any) -> str:
    """A cell as a person would type it: a number without the fraction that it does not have, a line without breaks."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, datetime):
        return value.strftime("%d.%m.%Y %H:%M").removesuffix(" 00:00")
    if isinstance(value, date):
        return value.strftime("%d.%m.%Y")
    return " ".join(str(value).split())


def _trimmed(row: list[str]) -> list[str]:
    """Without the empty cells at its end; an empty row stays a line, so that lines are told by their rows."""
    while row and not row[-1]:
        row.pop()
    return row
