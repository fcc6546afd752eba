"""XLSX, row by row (see `spreadsheets.py`)."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import IO, Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from .spreadsheets import local


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
