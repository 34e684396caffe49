"""Files of exported tables: CSV, JSON Lines and Parquet, written as the rows come."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, BinaryIO, Final, Protocol

from modelmux.accounts.columns import JSON_VALUES, Column, Kind, instant
from modelmux.accounts.csv_cells import safe_cell
from modelmux.catalog.prices import usd

#: Rows that a Parquet file has in one group, which is what memory holds.
_GROUP: Final = 16_384

Row = Sequence[Any]


class MissingLibrary(Exception):
    """A format needs a library that is not installed. The message is for people."""


class RowWriter(Protocol):
    def write(self, rows: Sequence[Row]) -> None:
        """Add rows, with values as the columns say. :raises OSError:"""
        ...

    def close(self) -> None:
        """Write what is left; the file stays open. :raises OSError:"""
        ...


class CsvWriter:
    """RFC 4180 in UTF-8, with a line of names. What is absent is empty. Cells of text that a spreadsheet would take for
    a formula begin with an apostrophe: they come from clients."""

    def __init__(self, columns: Sequence[Column], file: BinaryIO) -> None:
        self._cells = [_CSV[column.kind] for column in columns]
        self._file = file
        self._write([[column.name for column in columns]])

    def write(self, rows: Sequence[Row]) -> None:
        self._write([[cell(value) for cell, value in zip(self._cells, row, strict=True)] for row in rows])

    def close(self) -> None:
        self._file.flush()

    def _write(self, lines: Sequence[Sequence[str]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(lines)
        self._file.write(text.getvalue().encode("utf-8", "replace"))


class JsonLinesWriter:
    """An object a line, with every column; amounts are decimals in strings."""

    def __init__(self, columns: Sequence[Column], file: BinaryIO) -> None:
        self._names = [column.name for column in columns]
        self._values = [JSON_VALUES[column.kind] for column in columns]
        self._file = file

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            values = [
                None if value is None else plain(value) for plain, value in zip(self._values, row, strict=True)
            ]  # fmt: skip
            self._file.write(_compact(dict(zip(self._names, values, strict=True))).encode("utf-8", "replace") + b"\n")

    def close(self) -> None:
        self._file.flush()


class ParquetWriter:
    """Apache Parquet: instants are timestamps in UTC, amounts decimals with nine places, JSON is text.

    :raises MissingLibrary: pyarrow is not installed.
    """

    def __init__(self, columns: Sequence[Column], file: BinaryIO) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise MissingLibrary("Parquet needs the library pyarrow, which is not installed") from None
        kinds = {
            "text": pa.string(),
            "integer": pa.int64(),
            "boolean": pa.bool_(),
            "instant": pa.timestamp("us", tz="UTC"),
            "money": pa.decimal128(28, 9),
            "json": pa.string(),
        }
        self._values = [_PARQUET.get(column.kind, _same) for column in columns]
        self._schema = pa.schema([(column.name, kinds[column.kind]) for column in columns])
        self._table = pa.Table
        self._writer = parquet.ParquetWriter(file, self._schema)
        self._rows: list[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        self._rows += rows
        if len(self._rows) >= _GROUP:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._values)
        arrays = {
            name: [None if value is None else convert(value) for value in column]
            for name, convert, column in zip(self._schema.names, self._values, columns, strict=True)
        }
        self._writer.write_table(self._table.from_pydict(arrays, self._schema))
        self._rows = []


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _same(value: Any) -> Any:
    return value


def _or_empty(text: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: "" if value is None else text(value)


_CSV: Final[dict[Kind, Callable[[Any], str]]] = {
    "text": _or_empty(safe_cell),
    "integer": _or_empty(str),
    "boolean": _or_empty(lambda value: "true" if value else "false"),
    "instant": _or_empty(instant),
    "money": _or_empty(usd),
    "number": _or_empty(str),
    "json": _or_empty(_compact),
}
_PARQUET: Final[dict[Kind, Callable[[Any], Any]]] = {
    "money": lambda nano: Decimal(nano).scaleb(-9),
    "json": _compact,
}
