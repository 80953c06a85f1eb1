"""Contexts of features, as grad-contexts writes them: a line of JSON each."""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import dataclass
from typing import Any, BinaryIO, Callable, Iterator, Tuple, Union

from ._places import is_place

Source = Union[str, "os.PathLike[str]", bytes, BinaryIO]

#: A token's text; its id where grad-contexts had no --tokenizer; None where it had no --tokens to know it by.
Token = Union[str, int, None]

LARGEST_LINE = 64 << 20
QUANTITIES = ("attribution", "activation", "gradient")


class ContextError(ValueError):
    """A line that is not a context. The text names the file, the line (counted from 1) and the member, and says what was
    expected and what was found."""


@dataclass(frozen=True)
class Context:
    """One position of the text at which a feature counts much; docs/contexts.md says how positions are chosen.

    Attributes:
        place, feature: the feature of the autoencoder at a place such as "mlp_out.3", or the dimension of the activation.
        rank: counted from 1, the largest magnitude of `by`.
        by: the quantity that ranks: "attribution", "activation" or "gradient".
        sample, position: the sample's number in the text, and the position in the sample, both counted from 0.
        token: the token at the position.
        before, after: the tokens around it, in the order of the text.
        activation, gradient, attribution: at the position; the gradient is that of the summed loss in nats. None where the
            stream has no activations.
        activations_before, activations_after: the feature's activation at each position of `before` and `after`; None
            where it was not recorded.
        quantile: of contexts that --quantiles drew, the quantile from 1, the largest values; otherwise None.
    """

    place: str
    feature: int
    rank: int
    by: str
    sample: int
    position: int
    token: Token
    before: Tuple[Token, ...]
    after: Tuple[Token, ...]
    activation: float | None
    gradient: float | None
    attribution: float | None
    activations_before: Tuple[float | None, ...]
    activations_after: Tuple[float | None, ...]
    quantile: int | None = None

    @property
    def text(self) -> str:
        """The context as one text, the token in [[ ]]. Ids are shown as #7, unknown tokens as …."""
        return f"{''.join(map(_shown, self.before))}[[{_shown(self.token)}]]{''.join(map(_shown, self.after))}"


def contexts(source: Source) -> Iterator[Context]:
    """The contexts in a file that grad-contexts wrote, one after another; one line is in memory at a time.

    Args:
        source: a path, an open binary file such as sys.stdin.buffer, or the lines themselves as bytes.

    Raises:
        ContextError: in place of the first line that is not a context.
        OSError: the file cannot be opened or read.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _contexts(io.BytesIO(source), "<bytes>", closes=True)
    if isinstance(source, (str, os.PathLike)):
        return _contexts(open(source, "rb"), os.fspath(source), closes=True)
    return _contexts(source, str(getattr(source, "name", "<stream>")), closes=False)


def _contexts(file: Any, name: str, closes: bool) -> Iterator[Context]:
    number = 0
    try:
        while line := file.readline(LARGEST_LINE + 1):
            number += 1
            if len(line) > LARGEST_LINE:
                raise _Wrong(f"expected at most {LARGEST_LINE} bytes, found more")
            if line.strip(b" \t\r\n"):
                yield _context(line)
    except _Wrong as error:
        raise ContextError(f"{name}: line {number}: {error}") from None
    finally:
        if closes:
            file.close()


class _Wrong(Exception):
    """What is wrong with a line."""


def _context(line: bytes) -> Context:
    try:
        members = json.loads(line.decode())
    except json.JSONDecodeError as error:
        raise _Wrong(f"not JSON: character {error.pos}: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise _Wrong(f"not JSON: {error}") from None
    if not isinstance(members, dict):
        raise _Wrong("expected an object of JSON, found another value")

    def member(key: str, expected: str, fits: Callable[[Any], bool]) -> Any:
        if key not in members or not fits(members[key]):
            raise _Wrong(f"{key}: expected {expected}, found {_described(members[key]) if key in members else 'nothing'}")
        return members[key]

    def count(key: str, least: int) -> int:
        return int(member(key, f"a whole number of at least {least}", lambda v: _is_whole(v) and v >= least))

    def number(key: str) -> float | None:
        found = member(key, "a number or null", lambda v: v is None or _is_number(v))
        return None if found is None else float(found)

    def tokens(key: str) -> Tuple[Token, ...]:
        return tuple(member(key, "a list of texts, ids and nulls", lambda v: isinstance(v, list) and all(map(_is_token, v))))

    def activations(key: str, beside: Tuple[Token, ...]) -> Tuple[float | None, ...]:
        found = member(key, f"a list of {len(beside)} numbers and nulls", lambda v: isinstance(v, list) and len(v) == len(
            beside) and all(each is None or _is_number(each) for each in v))
        return tuple(None if each is None else float(each) for each in found)

    before, after = tokens("before"), tokens("after")
    return Context(
        place=member("place", "a place such as mlp_out.3", lambda v: isinstance(v, str) and is_place(v)),
        feature=count("feature", 0), rank=count("rank", 1),
        by=member("by", " or ".join(QUANTITIES), lambda v: v in QUANTITIES),
        sample=count("sample", 0), position=count("position", 0),
        token=member("token", "a text, an id or null", _is_token), before=before, after=after,
        activation=number("activation"), gradient=number("gradient"), attribution=number("attribution"),
        activations_before=activations("activations_before", before),
        activations_after=activations("activations_after", after),
        quantile=count("quantile", 1) if "quantile" in members else None)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or _is_whole(value)


def _is_token(value: Any) -> bool:
    return value is None or isinstance(value, str) or (_is_whole(value) and value >= 0)


def _described(value: Any) -> str:
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value, ensure_ascii=False)
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", "?", text if len(text) <= 80 else f"{text[:80]}…")


def _shown(token: Token) -> str:
    return " …" if token is None else f" #{token}" if isinstance(token, int) else token
