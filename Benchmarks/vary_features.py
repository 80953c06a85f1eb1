"""Makes of sae-grad's stream of one place a longer one with other active features, as many at each position.

    vary_features.py --features 65536 --active same --positions 15360 GRADIENTS OUTPUT

--active: `same` are active at all positions; `trained`, as in a trained autoencoder a few are active often and most hardly
ever, the one of rank r in proportion to 1/r; `any`, each as often as the others. Gradients and values are repeated.
"""
import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "python"))
import gradient_filters as gf  # noqa: E402


def main():
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--features", type=int, required=True)
    p.add_argument("--active", choices=["same", "trained", "any"], required=True)
    p.add_argument("--positions", type=int, required=True, help="at least; samples are whole")
    p.add_argument("source", type=Path, metavar="GRADIENTS")
    p.add_argument("output", type=Path)
    a = p.parse_args()
    batches = [dict(record) for record in gf.records(a.source)]
    provenance = dict(next(iter(gf.records(a.source))).provenance)
    place = provenance["places"]
    written = {key: provenance[key] for key in ("places", "unit", "stride", "stride_scope", f"basis.{place}")}
    gf.write(a.output, kind="gradients", records=repeated(a, batches, place), provenance=written)


def repeated(a, batches, place):
    draw = drawing(a)
    positions = samples = number = 0
    while positions < a.positions:
        record = dict(batches[number % len(batches)])
        count = len(record["sample_index"])
        record["sample_index"] = record["document"] = np.arange(samples, samples + count)
        counts = np.diff(record[f"cu_active.{place}"])
        record[f"feature.{place}"] = np.concatenate([np.empty(0, int), *map(draw, counts)])
        yield record
        positions, samples, number = positions + len(counts), samples + count, number + 1


def drawing(a):
    """What gives so many features, ascending."""
    random = np.random.default_rng(1)
    if a.active == "same":
        return lambda count: np.arange(count) * (a.features // max(count, 1))
    if a.active == "any":
        return lambda count: np.sort(random.choice(a.features, count, replace=False, shuffle=False))
    sums = np.cumsum(1 / np.arange(1, a.features + 1))
    of_rank = random.permutation(a.features)

    def trained(count):
        ranks = np.empty(0, int)
        while len(ranks) < count:
            drawn = np.searchsorted(sums, random.random(4 * count) * sums[-1])
            ranks = np.concatenate([ranks, drawn])
            ranks = ranks[np.sort(np.unique(ranks, return_index=True)[1])]
        return np.sort(of_rank[ranks[:count]])

    return trained


if __name__ == "__main__":
    main()
