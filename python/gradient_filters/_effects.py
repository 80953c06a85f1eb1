"""What ablations did, as sae-effect writes it: a line of JSON for each feature and, at the end, for each place."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from ._lines import Members, Source, Wrong, is_number, read_lines
from ._places import is_place
from ._tables import framed

#: What each line of a feature has beside its name, at least.
KNOWN = ("effect", "effect_se", "predicted", "predicted_se", "firing", "random")


class EffectError(ValueError):
    """A line that sae-effect does not write. The text names the file, the line (counted from 1) and the member, and says
    what was expected and what was found."""


class Effects:
    """The effects of features on the loss, in the order in which they were written.

    Attributes:
        name: the file's.
        places: of each place, by its name, the members of its line: "features", "correlation", "rank_correlation"; a
            number that is not defined is None. Of several lines of a place the last.
    """

    def __init__(self, name: str, rows: list[dict[str, Any]], places: dict[str, dict[str, float | None]]) -> None:
        self.name, self.places = name, places
        self._rows = rows

    def __len__(self) -> int:
        """How many features there are."""
        return len(self._rows)

    def __repr__(self) -> str:
        places = dict.fromkeys(row["place"] for row in self._rows)
        return f"<{self.name}: effects of {len(self):,} feature{'' if len(self) == 1 else 's'} at {', '.join(places)}>"

    def table(self, frame: str | None = None) -> Any:
        """A row for each feature: site, layer and index, as in `Run.table`, and the members that docs/effects.md names.

        Args:
            frame: "pandas", "polars" or "numpy" (a structured array); by default the first that is installed.
        """
        names = [tuple(row["place"].split(".")) for row in self._rows]
        columns = {
            "site": np.array([site for site, _ in names], str), "layer": np.array([layer for _, layer in names], np.int64),
            "index": np.array([row["feature"] for row in self._rows], np.int64),
        }
        for key in dict.fromkeys(key for row in self._rows or [dict.fromkeys(KNOWN)] for key in row):
            if key in ("place", "feature"):
                continue
            values = [row.get(key) for row in self._rows]
            are_marks = key == "random" or (values != [] and all(isinstance(value, bool) for value in values))
            columns[key] = (np.array(values, bool) if are_marks else
                            np.array([np.nan if value is None else float(value) for value in values], np.float64))
        return framed(columns, frame)


def effects(source: Source) -> Effects:
    """Reads the lines of JSON that sae-effect writes.

    Args:
        source: a path, an open binary file such as sys.stdin.buffer, or the lines themselves as bytes.

    Raises:
        EffectError: a line is not one of sae-effect's.
        OSError: the file cannot be opened or read.
    """
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else str(getattr(source, "name", "<bytes>"))
    rows: list[dict[str, Any]] = []
    places: dict[str, dict[str, float | None]] = {}
    for members in read_lines(source, _effect, EffectError):
        if "feature" in members:
            rows.append(members)
        else:
            place = members.pop("place")
            # The last line of a place counts the features of the run before, too.
            places[place] = members
    return Effects(name, rows, places)


def _effect(line: Members) -> dict[str, Any]:
    """The members of a feature's line, or of a place's, which has no feature."""
    place = line.member("place", "a place such as mlp_out.3", lambda v: isinstance(v, str) and is_place(v))
    if "correlation" in line.all:
        return {"place": place, "features": line.count("features", 0),
                **{key: line.number(key) for key in line.all if key not in ("place", "features")}}
    line.count("feature", 0)
    line.member("random", "true or false", lambda v: isinstance(v, bool))
    for key in KNOWN[:-1]:
        line.number(key)
    for key, value in line.all.items():
        if key != "place" and value is not None and not isinstance(value, bool) and not is_number(value):
            raise Wrong(f"{key}: expected a number, true, false or null")
    return line.all
