"""How a value is spelt in text formats: one spelling for the command line, exports and pages.

Booleans are true and false, floats the shortest that give the stored float back, times ISO 8601,
bytes hexadecimal, lists and records JSON.
"""

import datetime
import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

JSON_METADATA: Final = {b"duckdb": b"json"}
"""Of a field of an Arrow schema whose texts are JSON, a type that Arrow does not have."""

_NEEDS_QUOTES: Final = re.compile('[",\r\n]')


def json_cells(field: "pa.Field", column: "pa.Array") -> list[str]:
    """The values of a column as JSON; NaN and infinities become null."""
    import pyarrow as pa

    if field.metadata == JSON_METADATA:
        return [_parsed(value) for value in column.to_pylist()]
    if pa.types.is_string(field.type):
        encode = json.JSONEncoder(ensure_ascii=False).encode
        return ["null" if value is None else encode(value) for value in column.to_pylist()]
    if pa.types.is_boolean(field.type) or pa.types.is_integer(field.type):
        return ["null" if text is None else text for text in column.cast(pa.string()).to_pylist()]
    return [dumped(value) for value in shortest_floats(column).to_pylist()]


def csv_cells(field: "pa.Field", column: "pa.Array") -> list[str]:
    """The values of a column as fields of CSV, quoted where they must be; NULL is empty."""
    import pyarrow as pa

    if pa.types.is_string(field.type):
        texts = column.to_pylist()
    elif pa.types.is_boolean(field.type) or pa.types.is_integer(field.type):
        texts = column.cast(pa.string()).to_pylist()
    else:
        values = shortest_floats(column).to_pylist()
        texts = [None if value is None else _plain(value) for value in values]
    return ["" if text is None else quoted(text) for text in texts]


def quoted(text: str) -> str:
    """A text as a field of CSV."""
    return '"' + text.replace('"', '""') + '"' if _NEEDS_QUOTES.search(text) else text


def shortest_floats(column: "pa.Array") -> "pa.Array":
    """float32 values as the float64 that prints as shortly: 0.1 and not 0.10000000149011612."""
    import pyarrow as pa

    is_list = pa.types.is_list(column.type)
    if not pa.types.is_float32(column.type.value_type if is_list else column.type):
        return column
    text, double = pa.string(), pa.float64()
    types = (pa.list_(text), pa.list_(double)) if is_list else (text, double)
    return column.cast(types[0]).cast(types[1])


def dumped(value: Any, indent: int | None = None) -> str:
    """A value as JSON."""
    return json.dumps(json_value(value), ensure_ascii=False, indent=indent)


def json_value(value: Any) -> Any:
    """What JSON can hold: NaN and infinities become null, times ISO 8601, bytes hexadecimal."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [json_value(item) for item in value]
    if isinstance(value, dict):
        return {key: json_value(item) for key, item in value.items()}
    if value is None or isinstance(value, (str, int, bool)):
        return value
    return _text(value)


def _parsed(text: str | None) -> str:
    """A JSON value in this format's own spacing."""
    return "null" if text is None else dumped(json.loads(text))


def _plain(value: Any) -> str:
    """A value as a text of CSV."""
    if isinstance(value, (list, dict, tuple)):
        return dumped(value)
    return repr(value) if isinstance(value, float) else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return str(value)
