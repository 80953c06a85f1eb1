"""What the tensors of each kind of stream must be (docs/stream-format.md, Kinds)."""

from __future__ import annotations

import json
from typing import Callable, Mapping

import numpy as np

from ._frames import Malformed
from ._places import is_place
from ._safetensors import NAMES

KINDS = ["tokens", "activations", "gradients", "aggregates"]
LARGEST_NUMBER = (1 << 63) - 2
#: The types of tensors that every record of a kind has, or may have.
WHOLE_NUMBERS = {
    "input_ids": "<i4", "cu_seqlens": "<i4", "sample_index": "<i8", "document": "<i8", "valid_lengths": "<i4",
    "valid_starts": "<i4", "cu_positions": "<i4", "position": "<i4", "token": "<i4", "predictions": "<i4",
    "cu_active": "<i8", "feature": "<i4",
}


class Tensors:
    """The tensors of one record, by the names and shapes that they must have."""

    def __init__(self, arrays: Callable[[str], np.ndarray], names: Mapping[str, object]) -> None:
        self._array, self.names = arrays, names

    def get(self, name: str, type: str, *shape: int | None) -> np.ndarray:
        if name not in self.names:
            raise Malformed(f"tensor {name} is missing")
        found = self._array(name)
        wanted = np.dtype(type)
        if found.dtype != wanted or found.ndim != len(shape) or any(
                size not in (None, actual) for size, actual in zip(shape, found.shape)):
            sizes = ", ".join("any" if size is None else str(size) for size in shape)
            raise Malformed(f"tensor {name}: expected {NAMES[wanted]} [{sizes}], found "
                            f"{NAMES.get(found.dtype, found.dtype)} {list(found.shape)}")
        return found

    def places(self, value: str) -> list[str]:
        """The places that have a tensor of that name."""
        return [name[len(value) + 1 :] for name in self.names
                if name.startswith(f"{value}.") and is_place(name[len(value) + 1 :])]

    def numbers(self, name: str, count: int | None) -> np.ndarray:
        found = self.get(name, "<i8", count)
        wrong = found[(found < 0) | (found > LARGEST_NUMBER)]
        if wrong.size:
            raise Malformed(f"{name}: expected a number from 0 to {LARGEST_NUMBER}, found {wrong[0]}")
        return found

    def ends(self, name: str, type: str, count: int, total: int) -> np.ndarray:
        """Numbers that begin with 0, never fall, and end with `total`."""
        found = self.get(name, type, count + 1)
        if found[0] != 0 or found[-1] != total or (found[:-1] > found[1:]).any():
            raise Malformed(f"{name}: expected numbers that rise from 0 to {total}, found {found[0]} to {found[-1]}")
        return found


def check(kind: str, tensors: Tensors, provenance: Mapping[str, str]) -> None:
    """Refuses a data record that is none of its kind."""
    if kind in ("tokens", "activations"):
        _check_tokens(tensors)
        if kind == "activations":
            for place in tensors.places("act"):
                tensors.get(f"act.{place}", "<f4", tensors.get("input_ids", "<i4", None).size, None)
    elif kind == "gradients":
        _check_gradients(tensors, provenance)


def check_decoders(tensors: Tensors, provenance: Mapping[str, str]) -> None:
    """Refuses a record of decoders of autoencoders that does not agree with what the begin record says of them."""
    for name in tensors.names:
        place = name[len("basis.") :]
        if not is_place(place):
            raise Malformed(f"tensor {name}: expected a place such as mlp_out.11 after basis.")
        found = tensors.get(name, "<f4", None, None)
        try:
            told = json.loads(provenance[name])
            expected = (told["features"], told["width"]) if told["embedded"] is True else None
        except (KeyError, TypeError, ValueError):
            expected = None
        if found.size == 0 or found.shape != expected:
            words = "none that is embedded" if expected is None else f"features and width {list(expected)}"
            raise Malformed(f"tensor {name}: expected the decoder that {name} of the provenance describes, {words}, found "
                            f"{list(found.shape)}")


def check_widths(tensors: Tensors, provenance: Mapping[str, str]) -> None:
    """Refuses gradients that the decoder that multiplies them does not fit."""
    for place in tensors.places("grad"):
        try:
            wanted = json.loads(provenance[f"basis.{place}"])["width"]
        except (KeyError, TypeError, ValueError):
            continue
        found = tensors.get(f"grad.{place}", "<f4", None, None).shape[1]
        if found != wanted:
            raise Malformed(f"tensor grad.{place}: expected {wanted} columns, as the decoder has, found {found}")


def _check_tokens(tensors: Tensors) -> None:
    ids = tensors.get("input_ids", "<i4", None)
    count = tensors.numbers("sample_index", None).size
    tensors.numbers("document", count)
    lengths = np.diff(tensors.ends("cu_seqlens", "<i4", count, ids.size))
    if not lengths.all():
        raise Malformed(f"cu_seqlens: expected at least one token in sample {np.argmin(lengths)} of the batch, found "
                        "none")
    if "valid_lengths" in tensors.names:
        valid = tensors.get("valid_lengths", "<i4", count)
        for sample in np.flatnonzero((valid < 1) | (valid > lengths))[:1]:
            raise Malformed(f"valid_lengths[{sample}]: expected a length from 1 to {lengths[sample]}, found "
                            f"{valid[sample]}")
    if "valid_starts" in tensors.names:
        if "valid_lengths" not in tensors.names:
            raise Malformed("valid_starts: expected valid_lengths beside it, found none")
        starts, padding = tensors.get("valid_starts", "<i4", count), lengths - valid
        for sample in np.flatnonzero((starts < 0) | (starts > padding))[:1]:
            raise Malformed(f"valid_starts[{sample}]: expected a number from 0 to {padding[sample]}, found "
                            f"{starts[sample]}")


def _check_gradients(tensors: Tensors, provenance: Mapping[str, str]) -> None:
    count = tensors.get("position", "<i4", None).size
    tensors.get("token", "<i4", count)
    samples = tensors.numbers("sample_index", None).size
    tensors.numbers("document", samples)
    predictions = tensors.get("predictions", "<i4", samples)
    if (predictions < 0).any():
        raise Malformed(f"predictions: expected no negative number, found {predictions[predictions < 0][0]}")
    tensors.ends("cu_positions", "<i4", samples, count)
    if "loss" in tensors.names:
        tensors.get("loss", "<f8", samples)
    for place in tensors.places("grad"):
        width = tensors.get(f"grad.{place}", "<f4", count, None).shape[1]
        if f"act.{place}" in tensors.names:
            tensors.get(f"act.{place}", "<f4", count, None)
        if f"cu_active.{place}" in tensors.names:
            _check_active(tensors, place, count, _features(provenance, place) or width)


def _features(provenance: Mapping[str, str], place: str) -> int | None:
    """How many features the autoencoder has whose decoder multiplies the gradients; None where none does."""
    try:
        return int(json.loads(provenance[f"basis.{place}"])["features"])
    except (KeyError, TypeError, ValueError):
        return None


def _check_active(tensors: Tensors, place: str, positions: int, width: int) -> None:
    features = tensors.get(f"feature.{place}", "<i4", None)
    tensors.get(f"value.{place}", "<f4", features.size)
    ends = tensors.ends(f"cu_active.{place}", "<i8", positions, features.size)
    first = np.zeros(features.size, bool)
    first[ends[:-1][ends[:-1] < features.size]] = True
    before = np.where(first, -1, np.concatenate([[-1], features[:-1]]) if features.size else features)
    for wrong in np.flatnonzero((features <= before) | (features >= width))[:1]:
        behind = f" behind {before[wrong]}" if before[wrong] >= 0 else ""
        raise Malformed(f"feature.{place}: row {np.searchsorted(ends, wrong, side='right') - 1}: expected numbers that "
                        f"rise, from 0 to {width - 1}, found {features[wrong]}{behind}")
