"""Rows of a billing export: a CSV file, or Parquet."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from modelmux.cli.usage.writers import MissingLibrary

_PARQUET: Final = b"PAR1"
#: Rows of Parquet in memory.
_BATCH: Final = 8_192
#: A cell of tags may be long.
_LONGEST_CELL: Final = 16 * 1024 * 1024


class BadFile(Exception):
    """A file that cannot be read as a table. The message is for people."""


def read_rows(path: Path) -> Iterator[Mapping[str, Any]]:
    """Each row by the names of its columns; at least one row, or none if the file has only names.

    :raises OSError: :raises BadFile: :raises MissingLibrary: Parquet, without pyarrow.
    """
    with path.open("rb") as file:
        is_parquet = file.read(len(_PARQUET)) == _PARQUET
    return _parquet(path) if is_parquet else _csv(path)


def _csv(path: Path) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(_LONGEST_CELL)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            yield dict.fromkeys(reader.fieldnames or ())  # the names of the columns, also without a row
            yield from reader
        except (csv.Error, UnicodeDecodeError) as error:
            raise BadFile(f"line {reader.line_num + 1}: not CSV in UTF-8 ({error})") from None


def _parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingLibrary("Parquet needs the library pyarrow, which is not installed") from None
    try:
        with parquet.ParquetFile(path) as file:
            yield dict.fromkeys(file.schema_arrow.names)
            for batch in file.iter_batches(_BATCH):
                yield from batch.to_pylist()
    except pa.ArrowInvalid as error:
        raise BadFile(f"not a Parquet file that can be read ({error})") from None
