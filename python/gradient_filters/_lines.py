"""Lines of JSON, one object each, as grad-contexts and sae-effect write them."""

from __future__ import annotations

import io
import json
import os
import re
from typing import Any, BinaryIO, Callable, Iterator, Type, TypeVar, Union

Source = Union[str, "os.PathLike[str]", bytes, BinaryIO]
Made = TypeVar("Made")

LARGEST_LINE = 64 << 20


class Wrong(Exception):
    """What is wrong with a line."""


class Members:
    """Those of a line's object. What is asked for and is not as expected raises `Wrong`."""

    def __init__(self, line: bytes) -> None:
        try:
            found = json.loads(line.decode())
        except json.JSONDecodeError as error:
            raise Wrong(f"not JSON: character {error.pos}: {error.msg}") from None
        except (ValueError, RecursionError) as error:
            raise Wrong(f"not JSON: {error}") from None
        if not isinstance(found, dict):
            raise Wrong("expected an object of JSON, found another value")
        self.all: dict[str, Any] = found

    def member(self, key: str, expected: str, fits: Callable[[Any], bool]) -> Any:
        if key not in self.all or not fits(self.all[key]):
            found = described(self.all[key]) if key in self.all else "nothing"
            raise Wrong(f"{key}: expected {expected}, found {found}")
        return self.all[key]

    def count(self, key: str, least: int) -> int:
        return int(self.member(key, f"a whole number of at least {least}", lambda v: is_whole(v) and v >= least))

    def number(self, key: str) -> float | None:
        found = self.member(key, "a number or null", lambda v: v is None or is_number(v))
        return None if found is None else float(found)


def read_lines(source: Source, read: Callable[[Members], Made], refusal: Type[ValueError]) -> Iterator[Made]:
    """What `read` makes of each line that is not blank, one after another; one line is in memory at a time.

    Args:
        refusal: raised in place of the first line that is `Wrong`; its text names the file and the line.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _read(io.BytesIO(source), "<bytes>", True, read, refusal)
    if isinstance(source, (str, os.PathLike)):
        return _read(open(source, "rb"), os.fspath(source), True, read, refusal)
    return _read(source, str(getattr(source, "name", "<stream>")), False, read, refusal)


def _read(
    file: Any, name: str, closes: bool, read: Callable[[Members], Made], refusal: Type[ValueError]
) -> Iterator[Made]:
    number = 0
    try:
        while line := file.readline(LARGEST_LINE + 1):
            number += 1
            if len(line) > LARGEST_LINE:
                raise Wrong(f"expected at most {LARGEST_LINE} bytes, found more")
            if line.strip(b" \t\r\n"):
                yield read(Members(line))
    except Wrong as error:
        raise refusal(f"{name}: line {number}: {error}") from None
    finally:
        if closes:
            file.close()


def is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
    return isinstance(value, float) or is_whole(value)


def described(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", "?", text if len(text) <= 80 else f"{text[:80]}…")
