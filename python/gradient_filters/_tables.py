"""Columns as a table of whichever library is there."""

from __future__ import annotations

from typing import Any

import numpy as np


def framed(columns: dict[str, np.ndarray], wanted: str | None) -> Any:
    """A pandas or polars frame or a structured array of columns of one length, of which there is at least one.

    Args:
        wanted: "pandas", "polars" or "numpy"; by default the first that is installed.

    Raises:
        ValueError: it is none of these.
        ImportError: it is not installed.
    """
    if wanted not in (None, "pandas", "polars", "numpy"):
        raise ValueError(f"frame: expected pandas, polars or numpy, found {wanted!r}")
    for name in [wanted] if wanted else ["pandas", "polars"]:
        if name == "numpy":
            break
        try:
            return __import__(name).DataFrame(columns)
        except ModuleNotFoundError as error:
            # What the library itself lacks it says itself.
            if wanted and error.name == name:
                raise ImportError(f"frame={name!r}: {name} is not installed: pip install {name}; frame='numpy' makes a "
                                  "structured array without it", name=name) from None
            if wanted:
                raise
        except ImportError:
            if wanted:
                raise
    rows = np.empty(len(next(iter(columns.values()))), [(name, values.dtype) for name, values in columns.items()])
    for name, values in columns.items():
        rows[name] = values
    return rows
