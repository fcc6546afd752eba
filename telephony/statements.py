"""Reading and writing rows with statements that are put together once.

Django compiles a statement anew each time, which costs more than running it; on the hot path these do the same. Values
go through the fields' own conversion, so a row looks the same whoever wrote it. Several rows are written by key, as
everybody else locks them: two writers of the same rows must not wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from django.db import connection, models

WAIT = " FOR UPDATE"
SKIP = " FOR UPDATE SKIP LOCKED"

Row = models.Model
M = TypeVar("M", bound=models.Model)
Fields = tuple[Any, ...]


def select(
    model: type[M],
    among: Mapping[str, Iterable[Any]],
    *,
    also: str = "",
    filling: Sequence[Any] = (),
    order: str = "id",
    limit: int | None = None,
    lock: str = "",
) -> list[M]:
    """Rows whose columns have one of these values each.

    `also` is one more condition with the values `filling`, `order` what follows ORDER BY; both are ours and hold no
    value from outside. `lock`: `WAIT` for rows that others have locked, or leave them out with `SKIP`.
    """
    conditions, values = [also] if also else [], [*filling]
    for column, wanted in among.items():
        given = list(wanted)
        if not given:
            return []
        conditions.append(f"{connection.ops.quote_name(column)} IN ({', '.join(['%s'] * len(given))})")
        values += given
    beginning, names, converters = _select(model)
    with connection.cursor() as cursor:
        most = f" LIMIT {limit}" if limit is not None else ""
        locked = lock if connection.features.has_select_for_update else ""
        cursor.execute(f"{beginning} WHERE {' AND '.join(conditions)} ORDER BY {order}{most}{locked}", values)
        rows = [list(row) for row in cursor.fetchall()]
    for row in rows:
        for place, column, convert in converters:
            row[place] = convert(row[place], column, connection)
    return [model.from_db(connection.alias, names, row) for row in rows]


def update(rows: Iterable[Row], names: Sequence[str]) -> None:
    """Write these fields of existing rows."""
    ordered = sorted(rows, key=lambda row: row.pk)
    if ordered:
        statement, fields = _update(type(ordered[0]), tuple(names))
        _run(statement, fields, ordered)


def insert(rows: Sequence[Row]) -> None:
    """Write new rows whose ids nobody needs."""
    if rows:
        statement, fields = _insert(type(rows[0]))
        _run(statement, fields, rows)


def insert_for_ids(rows: Sequence[Row]) -> None:
    """Write new rows; they know their ids afterwards."""
    if not rows:
        return
    key = type(rows[0])._meta.pk
    statement, fields = _insert(type(rows[0]))
    with connection.cursor() as cursor:
        for row in rows:
            cursor.execute(f"{statement} RETURNING {_quoted(key)}", _values(row, fields))
            row.pk = cursor.fetchone()[0]
            row._state.adding, row._state.db = False, connection.alias


def put(rows: Sequence[Row], unique: Sequence[str], names: Sequence[str]) -> None:
    """Write rows that may be there already, known by the fields `unique`: then these fields of them."""
    if rows:
        statement, fields = _put(type(rows[0]), tuple(unique), tuple(names))
        _run(statement, fields, rows)


def _run(statement: str, fields: Fields, rows: Sequence[Row]) -> None:
    with connection.cursor() as cursor:
        if len(rows) == 1:
            cursor.execute(statement, _values(rows[0], fields))
        else:
            cursor.executemany(statement, [_values(row, fields) for row in rows])


def _values(row: Row, fields: Fields) -> list[Any]:
    return [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields]


# --- The statements ---------------------------------------------------------------------------------------------------


def _quoted(field: Any) -> str:
    return connection.ops.quote_name(field.column)


def _named(model: type[Row], names: Iterable[str]) -> Fields:
    return tuple(model._meta.get_field(name) for name in names)


@lru_cache(maxsize=64)
def _select(model: type[Row]) -> tuple[str, list[str], list[tuple[int, Any, Any]]]:
    """The beginning of a statement, the names of its columns, and how values that are not what they look like become
    Python's (place, column, conversion)."""
    columns = [field.get_col(model._meta.db_table) for field in model._meta.concrete_fields]
    converters = [
        (place, column, convert)
        for place, column in enumerate(columns)
        for convert in [*connection.ops.get_db_converters(column), *column.get_db_converters(connection)]
    ]
    listed = ", ".join(_quoted(field) for field in model._meta.concrete_fields)
    table = connection.ops.quote_name(model._meta.db_table)
    names = [field.attname for field in model._meta.concrete_fields]
    return f"SELECT {listed} FROM {table}", names, converters  # noqa: S608 (names, no values)


@lru_cache(maxsize=256)
def _update(model: type[Row], names: tuple[str, ...]) -> tuple[str, Fields]:
    fields, key = _named(model, names), model._meta.pk
    sets = ", ".join(f"{_quoted(field)} = %s" for field in fields)
    table = connection.ops.quote_name(model._meta.db_table)
    return f"UPDATE {table} SET {sets} WHERE {_quoted(key)} = %s", (*fields, key)  # noqa: S608 (names, no values)


@lru_cache(maxsize=256)
def _insert(model: type[Row]) -> tuple[str, Fields]:
    fields = tuple(field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField))
    table = connection.ops.quote_name(model._meta.db_table)
    columns, places = ", ".join(map(_quoted, fields)), ", ".join(["%s"] * len(fields))
    return f"INSERT INTO {table} ({columns}) VALUES ({places})", fields  # noqa: S608 (names, no values)


@lru_cache(maxsize=256)
def _put(model: type[Row], unique: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, Fields]:
    statement, fields = _insert(model)
    known = ", ".join(map(_quoted, _named(model, unique)))
    sets = ", ".join(f"{_quoted(field)} = EXCLUDED.{_quoted(field)}" for field in _named(model, names))
    return f"{statement} ON CONFLICT ({known}) DO UPDATE SET {sets}", fields
