"""Contexts of features, as grad-contexts writes them: a line of JSON each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Tuple, Union

from ._lines import Members, Source, is_number, is_whole, read_lines
from ._places import is_place

#: A token's text; its id where grad-contexts had no --tokenizer; None where it had no --tokens to know it by.
Token = Union[str, int, None]

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
    return read_lines(source, _context, ContextError)


def _context(line: Members) -> Context:
    def tokens(key: str) -> Tuple[Token, ...]:
        return tuple(line.member(key, "a list of texts, ids and nulls", lambda v: isinstance(v, list) and all(map(_is_token, v))))

    def activations(key: str, beside: Tuple[Token, ...]) -> Tuple[float | None, ...]:
        found = line.member(key, f"a list of {len(beside)} numbers and nulls", lambda v: isinstance(v, list) and len(v) == len(
            beside) and all(each is None or is_number(each) for each in v))
        return tuple(None if each is None else float(each) for each in found)

    before, after = tokens("before"), tokens("after")
    return Context(
        place=line.member("place", "a place such as mlp_out.3", lambda v: isinstance(v, str) and is_place(v)),
        feature=line.count("feature", 0), rank=line.count("rank", 1),
        by=line.member("by", " or ".join(QUANTITIES), lambda v: v in QUANTITIES),
        sample=line.count("sample", 0), position=line.count("position", 0),
        token=line.member("token", "a text, an id or null", _is_token), before=before, after=after,
        activation=line.number("activation"), gradient=line.number("gradient"), attribution=line.number("attribution"),
        activations_before=activations("activations_before", before),
        activations_after=activations("activations_after", after),
        quantile=line.count("quantile", 1) if "quantile" in line.all else None)


def _is_token(value: Any) -> bool:
    return value is None or isinstance(value, str) or (is_whole(value) and value >= 0)


def _shown(token: Token) -> str:
    return " …" if token is None else f" #{token}" if isinstance(token, int) else token
