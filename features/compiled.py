"""The types of what is compiled.

A function that names its types is compiled once, when its module is first imported, and kept on disk: the first request
of a process does not wait for a compiler, and arrays from memory and from a bundle run the same code.
"""

from __future__ import annotations

from typing import Final

from numba import types


def _read(dtype: types.Type, dimensions: int = 1) -> types.Array:
    """Return the type of a contiguous array that is only read: one that may be written to is taken as well."""
    return types.Array(dtype, dimensions, "C", readonly=True)


BOOLS: Final = _read(types.boolean)
BYTES: Final = _read(types.uint8)
INTS: Final = _read(types.int32)
UNSIGNED: Final = _read(types.uint32)
LONGS: Final = _read(types.int64)
SHORT_ROWS: Final = _read(types.int16, 2)
FLOATS: Final = _read(types.float32)
FLOATS_WRITTEN: Final = types.Array(types.float32, 1, "C")
DOUBLES: Final = _read(types.float64)
LONG_ROWS: Final = _read(types.int64, 2)
FLOAT_ROWS: Final = _read(types.float32, 2)
DOUBLE_ROWS: Final = _read(types.float64, 2)
INT: Final = types.int32
LONG: Final = types.int64
DOUBLE: Final = types.float64
