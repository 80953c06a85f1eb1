"""Averages of a run, as grad-aggregate leaves them in a stream of aggregates."""

from __future__ import annotations

import csv
import io
import os
from typing import Any, Iterator, Mapping

import numpy as np

from ._places import SITES
from ._tables import framed
from ._streams import Record, Source, StreamError, records


class Average(np.ndarray):
    """An average of each feature or dimension, F32 [width]: an array, with what is known of it beside it.

    Attributes:
        standard_error: of each of them, F32 [width]; None where there was one independent unit.
        halves_correlation: Pearson's correlation over the features between the averages of two halves of the units.
        reliability: of the ranking, 2r/(1+r) of that r.
        top_20_same: how many of the halves' 20 largest by magnitude are the same.
        units_for_reliability_90: how many units a reliability of 0.9 would take.

    The last four are None where a half was empty or constant. What numpy makes of it (`average[:10]`, `abs(average)`)
    has None for all of them.
    """

    standard_error: np.ndarray | None = None
    halves_correlation: float | None = None
    reliability: float | None = None
    top_20_same: int | None = None
    units_for_reliability_90: float | None = None

    def __new__(cls, values: np.ndarray, standard_error: np.ndarray | None, halves: np.ndarray | None) -> Average:
        self = values.view(cls)
        self.standard_error = standard_error
        if halves is not None:
            self.halves_correlation, self.reliability, same, self.units_for_reliability_90 = map(float, halves)
            self.top_20_same = int(same)
        return self


class QuantityAverages:
    """The averages of one quantity at one place."""

    def __init__(self, place: PlaceAverages, quantity: str) -> None:
        self._place, self._quantity = place, quantity

    def _average(self, mode: str) -> Average:
        prefix = "" if self._quantity == "gradient" else f"{self._quantity}_"
        found = self._place._average(prefix + mode)
        if found is None:
            raise AttributeError(f"{self._place.name}: no {self._quantity}.{mode} in {self._place.run.name}: "
                                 f"grad-aggregate --quantity {self._quantity} --mode {mode} makes it")
        return found

    @property
    def mean(self) -> Average:
        """The signed average."""
        return self._average("mean")

    @property
    def mean_abs(self) -> Average:
        """The average of magnitudes."""
        return self._average("mean_abs")

    def __repr__(self) -> str:
        place, run = self._place, self._place.run
        prefix = "" if self._quantity == "gradient" else f"{self._quantity}_"
        modes = [mode for mode in ("mean", "mean_abs") if f"{prefix}{mode}.{place.name}" in run.tensors]
        if not modes:
            return f"<{self._quantity} at {place.name}: not in {run.name}>"
        things = "features" if run.provenance.get("unit") == "feature" else "dimensions"
        return (f"<{self._quantity} at {place.name}: {' and '.join(modes)}, F32 [{place.width:,}] of {things}, "
                f"{self._unit()}; {place._extent()}>")

    def _unit(self) -> str:
        if self._quantity == "activation":
            return "in the unit of the activation"
        unit = "in nats" if self._quantity == "attribution" else "in nats per unit of activation"
        reduction = self._place.run.provenance.get("loss_reduction", "sum")
        return unit if reduction == "sum" else f"{unit}, scaled by --loss-reduction {reduction}"


class PlaceAverages:
    """All averages at one place.

    Attributes:
        run: the run it is part of.
        name: of the place, such as "mlp_out.11"; site and layer: its parts.
    """

    def __init__(self, run: Run, name: str) -> None:
        self.run, self.name = run, name
        self.site, layer = name.split(".")
        self.layer = int(layer)

    def _tensor(self, value: str) -> np.ndarray | None:
        name = f"{value}.{self.name}"
        return self.run.tensors[name] if name in self.run.tensors else None

    def _average(self, measure: str) -> Average | None:
        values = self._tensor(measure)
        if values is None:
            return None
        return Average(values, self._tensor(f"{measure}_se"), self._tensor(f"{measure}_halves"))

    def _number(self, value: str) -> Any:
        found = self._tensor(value)
        return None if found is None else found[0].item()

    @property
    def gradient(self) -> QuantityAverages:
        """Of the loss with respect to the activation or the feature, in nats for one unit more of it."""
        return QuantityAverages(self, "gradient")

    @property
    def attribution(self) -> QuantityAverages:
        """Activation times gradient: what the loss would lose, to first order, if the activation became 0; in nats."""
        return QuantityAverages(self, "attribution")

    @property
    def activation(self) -> QuantityAverages:
        """The feature's value, or the activation."""
        return QuantityAverages(self, "activation")

    @property
    def firing(self) -> Average:
        """The share of the recorded positions at which each feature is active."""
        found = self._average("firing")
        if found is None:
            raise AttributeError(f"{self.name}: no firing in {self.run.name}: it comes beside the attributions and "
                                 "activations of features")
        return found

    @property
    def width(self) -> int:
        """How many features or dimensions there are."""
        return next(int(tensor.shape[0]) for name in self.run.tensors if name.endswith(f"_squares.{self.name}")
                    for tensor in [self.run.tensors[name]])

    @property
    def samples(self) -> int | None:
        """How many samples went in."""
        ranges = self._tensor("samples")
        return None if ranges is None else int((ranges[:, 1] - ranges[:, 0]).sum())

    @property
    def positions(self) -> int | None:
        """How many positions went in."""
        found: int | None = self._number("positions")
        return found

    @property
    def units(self) -> int | None:
        """How many units (documents or samples, see `run.provenance["standard_errors"]`) went in."""
        complete, still_open = self._tensor("units"), self._tensor("open_weights")
        return None if complete is None else int(complete[0]) + (0 if still_open is None else still_open.size)

    @property
    def loss(self) -> float | None:
        """Of the unmodified model, in nats per prediction; None where it was not computed."""
        loss, predictions = self._number("loss"), self._number("predictions")
        return loss / predictions if loss is not None and predictions else None

    def _extent(self) -> str:
        """What went in, in words."""
        unit = self.run.provenance.get("standard_errors", "unit")
        counts = [(self.positions, "position"), (self.samples, "sample"), (self.units, unit)]
        # Where samples are the units they are told of once.
        told = [(count, thing) for place, (count, thing) in enumerate(counts)
                if count is not None and (place != 1 or unit != "sample")]
        return "over " + ", ".join(f"{count:,} {thing}{'' if count == 1 else 's'}" for count, thing in told)

    def __repr__(self) -> str:
        measures = [f"{prefix}.{mode}" for prefix in ("gradient", "attribution", "activation")
                    for mode in ("mean", "mean_abs")
                    if f"{'' if prefix == 'gradient' else prefix + '_'}{mode}.{self.name}" in self.run.tensors]
        measures += ["firing"] if f"firing.{self.name}" in self.run.tensors else []
        things = "features" if self.run.provenance.get("unit") == "feature" else "dimensions"
        return f"<{self.name}: {self.width:,} {things}; {', '.join(measures)}; {self._extent()}>"


class Run(Mapping[str, PlaceAverages]):
    """The averages of a run by place: `run["mlp_out.11"]`. `list(run)` names the places.

    Attributes:
        name: the file's.
        provenance: how they were made: the model, the text, every program's command line, text by key.
        tensors: all tensors of the record, as docs/stream-format.md names them.
    """

    def __init__(self, name: str, record: Record, source: Source) -> None:
        self.name, self.provenance, self.tensors = name, record.provenance, record
        self._source = source
        found = {tensor[len("weight.") :] for tensor in record if tensor.startswith("weight.")}
        self._places = {place: PlaceAverages(self, place) for place in sorted(found, key=_order)}

    def __getitem__(self, place: str) -> PlaceAverages:
        try:
            return self._places[place]
        except KeyError:
            raise KeyError(f"{place}: expected one of {', '.join(self._places)}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __repr__(self) -> str:
        model = self.provenance.get("model", "an unnamed model")
        return f"<{self.name}: averages of {model} at {', '.join(self)}>"

    def table(self, top: int | None = None, sort: str | None = None, frame: str | None = None) -> Any:
        """A row for each feature of each place, the largest first: what `grad-table` prints, in docs/tables.md's columns.

        Args:
            top: how many rows of each place; all where it is None.
            sort: a column such as "attribution.mean_abs", or "index"; by default the attribution where there is one.
            frame: "pandas", "polars" or "numpy" (a structured array); by default the first that is installed.
        """
        from ._programs import run

        arguments = ["grad-table", "--quiet", "--format", "tsv"]
        arguments += [] if top is None else ["--top", str(top)]
        arguments += [] if sort is None else ["--sort", sort]
        made = run(arguments, stdin=self._source, progress=False)
        header, *rows = csv.reader(io.StringIO(made.stdout.decode()), delimiter="\t")
        columns = {name: _column(name, [row[place] for row in rows]) for place, name in enumerate(header)}
        return framed(columns, frame)


def open(source: Source) -> Run:
    """Reads aggregates: what `grad-aggregate` writes to its standard output, and a run's folder has as aggregates.ts.

    Raises:
        StreamError: the stream is broken, of another kind, of several segments, or of partial sums.
        OSError: the file cannot be opened or read.
    """
    name = os.fspath(source) if isinstance(source, (str, os.PathLike)) else "<bytes>"
    if hasattr(source, "read"):
        name, source = str(getattr(source, "name", "<stream>")), source.read()
    found = list(records(source, "aggregates"))
    if len(found) != 1:
        raise StreamError(f"{name}: expected one data record, found {len(found)}: grad-aggregate merges several")
    run = Run(name, found[0], source)
    measures = {tensor.split(".")[0] for tensor in found[0]}
    if not any(f"{measure}_squares" in measures and measure in measures for measure in measures):
        raise StreamError(f"{name}: expected averages, found partial sums: grad-aggregate makes averages of them")
    return run


def _order(place: str) -> tuple[int, int]:
    site, layer = place.split(".")
    return SITES.index(site), int(layer)


def _column(name: str, values: list[str]) -> np.ndarray:
    if name == "site":
        return np.array(values)
    if name in ("layer", "index"):
        return np.array(values, np.int64)
    return np.array([float(value) if value else np.nan for value in values])
