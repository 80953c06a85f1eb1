"""Gradients, attributions and activations of language models, from Python: the streams that the programs write as numpy
arrays, and the programs themselves. docs/python.md describes it; the wheel puts the documentation into
share/doc/gradient-filters of the environment: os.path.join(sys.prefix, "share/doc/gradient-filters/docs/python.md").

    import gradient_filters as gf

    run = gf.open("out/aggregates.ts")
    run["mlp_out.11"].attribution.mean_abs                  # a numpy array, one number per feature
    run["mlp_out.11"].attribution.mean_abs.standard_error   # of each of them
    run.table(top=20)                                       # a pandas or polars frame, or a structured array

    for record in gf.records("gradients.ts"):               # any stream, checked to its end
        record["grad.mlp_out.11"], record.provenance["model"]

    for context in gf.contexts("contexts.jsonl"):           # the texts in which features count
        print(context.place, context.feature, context.text)

    gf.effects("effects.jsonl").table()                     # what ablations did to the loss: a row for each feature

    gf.write("mine.ts", kind="gradients", records=[...])    # what grad-aggregate then reads
    gf.run(["sae-gradient-analysis", "--model_name", "Qwen/Qwen2.5-0.5B"])

Everything that is computed is computed by the programs: this package reads and writes their streams.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._aggregates import Average, PlaceAverages, QuantityAverages, Run, open
    from ._contexts import Context, ContextError, contexts
    from ._effects import EffectError, Effects, effects
    from ._programs import Outcome, ProgramError, demo_folder, program, run
    from ._streams import Record, StreamError, records, write

# Imported when they are first asked for: what starts a program need not wait for numpy.
_HOME = {
    "_aggregates": ["Average", "PlaceAverages", "QuantityAverages", "Run", "open"],
    "_contexts": ["Context", "ContextError", "contexts"],
    "_effects": ["EffectError", "Effects", "effects"],
    "_programs": ["Outcome", "ProgramError", "demo_folder", "program", "run"],
    "_streams": ["Record", "StreamError", "records", "write"],
}
__all__ = [name for names in _HOME.values() for name in names]


def __getattr__(name: str) -> Any:
    for module, names in _HOME.items():
        if name in names:
            from importlib import import_module

            value = globals()[name] = getattr(import_module(f"{__name__}.{module}"), name)
            return value
    if name == "__version__":
        from importlib.metadata import version

        return version("gradient-filters")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__, "__version__"])
