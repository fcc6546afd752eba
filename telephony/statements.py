"""Reading and writing rows with statements that are put together once.

Django compiles a statement anew each time, which costs more than running it; on the hot path these do the same. Values
go through the fields' own conversion, so a row looks the same whoever wrote it. Several rows are written by key, as
everybody else locks them: two writers of the same rows must not wait for each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connection, connections, models

# No key: rows that others refer to must not hold up those who only do that.
WAIT = " FOR NO KEY UPDATE"
SKIP = " FOR NO KEY UPDATE SKIP LOCKED"

Row = models.Model
M = TypeVar("M", bound=models.Model)
Fields = tuple[Any, ...]
AS_THEY_ARE = frozenset({models.CharField, models.TextField, models.BooleanField, models.ForeignKey})
"""Fields whose values databases take as they are."""


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
    database = connections[DEFAULT_DB_ALIAS]
    for row in rows:
        for place, column, convert in converters:
            row[place] = convert(row[place], column, database)
    return [model.from_db(DEFAULT_DB_ALIAS, names, row) for row in rows]


def update(rows: Iterable[Row], names: Sequence[str]) -> None:
    """Write these fields of existing rows."""
    for lot in _lots(sorted(rows, key=lambda row: row.pk)):
        _run(_update(type(lot[0]), tuple(names), len(lot)), lot)


def insert(rows: Sequence[Row]) -> None:
    """Write new rows whose ids nobody needs."""
    for lot in _lots(rows):
        _run(_insert(type(lot[0]), len(lot)), lot)


def insert_for_ids(rows: Sequence[Row]) -> None:
    """Write new rows; they know their ids afterwards."""
    for lot in _lots(rows):
        statement, fields = _insert(type(lot[0]), len(lot))
        keys = _run((f"{statement} RETURNING {_quoted(type(lot[0])._meta.pk)}", fields), lot)
        for row, (key,) in zip(lot, keys, strict=True):
            row.pk = key
            row._state.adding, row._state.db = False, connection.alias


def put(rows: Sequence[Row], unique: Sequence[str], names: Sequence[str]) -> None:
    """Write rows that may be there already, known by the fields `unique`: then these fields of them."""
    for lot in _lots(rows):
        _run(_put(type(lot[0]), tuple(unique), tuple(names), len(lot)), lot)


def _lots(rows: Sequence[M]) -> Iterator[Sequence[M]]:
    """Lots of 32, 16, 8 … rows: a statement for each length, and databases remember few statements."""
    start, size = 0, 32
    while start < len(rows):
        while size > len(rows) - start:
            size //= 2
        yield rows[start : start + size]
        start += size


def _run(statement: tuple[str, Fields], rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    """What the statement returns, if anything."""
    sql, fields = statement
    database = connections[DEFAULT_DB_ALIAS]  # the proxy costs more than what is asked of it
    names = [(field.attname, None if type(field) in AS_THEY_ARE else field.get_db_prep_save) for field in fields]
    values = [
        prepare(getattr(row, name), database) if prepare else getattr(row, name)
        for row in rows
        for name, prepare in names
    ]
    with database.cursor() as cursor:
        cursor.execute(sql, values)
        return list(cursor.fetchall()) if cursor.description else []


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
def _update(model: type[Row], names: tuple[str, ...], rows: int) -> tuple[str, Fields]:
    key, fields = model._meta.pk, _named(model, names)
    table = connection.ops.quote_name(model._meta.db_table)
    if rows == 1:
        sets = ", ".join(f"{_quoted(field)} = %s" for field in fields)
        return f"UPDATE {table} SET {sets} WHERE {_quoted(key)} = %s", (*fields, key)  # noqa: S608 (names, no values)
    fields = (key, *fields)
    columns = ", ".join(map(_quoted, fields))
    sets = ", ".join(f"{_quoted(field)} = given.{_quoted(field)}" for field in fields[1:])
    given = f"WITH given ({columns}) AS (VALUES {_places(fields, rows, typed=True)})"
    return f"{given} UPDATE {table} SET {sets} FROM given WHERE {table}.{_quoted(key)} = given.{_quoted(key)}", fields  # noqa: S608


@lru_cache(maxsize=256)
def _insert(model: type[Row], rows: int) -> tuple[str, Fields]:
    fields = tuple(field for field in model._meta.concrete_fields if not isinstance(field, models.AutoField))
    table = connection.ops.quote_name(model._meta.db_table)
    columns = ", ".join(map(_quoted, fields))
    return f"INSERT INTO {table} ({columns}) VALUES {_places(fields, rows)}", fields  # noqa: S608 (names, no values)


@lru_cache(maxsize=256)
def _put(model: type[Row], unique: tuple[str, ...], names: tuple[str, ...], rows: int) -> tuple[str, Fields]:
    statement, fields = _insert(model, rows)
    known = ", ".join(map(_quoted, _named(model, unique)))
    sets = ", ".join(f"{_quoted(field)} = EXCLUDED.{_quoted(field)}" for field in _named(model, names))
    return f"{statement} ON CONFLICT ({known}) DO UPDATE SET {sets}", fields


def _places(fields: Fields, rows: int, typed: bool = False) -> str:
    """`(%s, %s), (%s, %s)`. Where values stand alone PostgreSQL must be told their types, in the first row."""
    plain = ", ".join(["%s"] * len(fields))
    first = plain
    if typed and connection.vendor == "postgresql":
        first = ", ".join(f"%s::{field.rel_db_type(connection).split('(')[0]}" for field in fields)
    return ", ".join([f"({first})", *[f"({plain})"] * (rows - 1)])
