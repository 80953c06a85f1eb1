#!/usr/bin/env python3
"""Times grad-plot against matplotlib drawing the same set of pictures, one after the other on the same machine.

The set is that of a run with 24 layers, two modes and 65,536 features: 24 x 4 + 24 x 2 + 4 = 148 PNG files of the
same sizes in pixels. matplotlib draws what the PyTorch scripts draw (bars, points, stars, mean line, legend, grid),
each picture once: without bbox_inches='tight', which the scripts use and which lays every picture out twice.

    Tests/Show/PlottingTests/compare_with_matplotlib.py --grad-plot .build/release/grad-plot [--require 8]

Needs numpy and matplotlib. The arrays are made here, seeded; --arrays DIR takes real ones instead.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np

INCH_SIZES = {"hist": (10, 5.6), "scatter": (11.6, 5.8), "combined": (17.34, 6.35), "all": (27.74, 13.35)}


def make_arrays(folder, layers, features):
    random = np.random.default_rng(0)
    for layer in range(layers):
        size = 3.5e-4 / (1 + layer)
        absolute = random.gamma(120, size / 120, features) * (1 + 0.1 * random.standard_t(4, features) ** 2 / 10)
        signed = absolute * np.clip(random.standard_t(5, features) / 6, -1, 1)
        np.save(f"{folder}/layer_{layer}_mean_abs_gradients.npy", absolute.astype("f4"))
        np.save(f"{folder}/layer_{layer}_mean_gradients.npy", signed.astype("f4"))


def draw_with_matplotlib(arrays, output, layers):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    def histogram(ax, values, bins, size):
        ax.hist(values, bins=bins, alpha=0.7, color="blue", edgecolor="black")
        mean = values.mean()
        ax.axvline(mean, color="red", linestyle="--", linewidth=2, label=f"Mean: {mean:.6f}")
        ax.set_xlabel("Gradient Magnitude", fontsize=size)
        ax.set_ylabel("Number of Features", fontsize=size)
        ax.legend(fontsize=size)
        ax.grid(True, alpha=0.3)

    def scatter(ax, values, size, point):
        ax.scatter(np.arange(len(values)), values, s=point, alpha=0.6, color="blue")
        top = np.argsort(np.abs(values))[-20:]
        ax.scatter(top, values[top], s=80, color="red", alpha=0.8, label="Top 20", zorder=5, marker="*")
        mean = values.mean()
        ax.axhline(mean, color="green", linestyle="--", linewidth=1.5, label=f"Mean: {mean:.6f}", alpha=0.7)
        ax.set_xlabel("Feature Index", fontsize=size)
        ax.set_ylabel("Gradient Magnitude", fontsize=size)
        ax.legend(fontsize=size)
        ax.grid(True, alpha=0.3)

    def save(figure, name):
        figure.savefig(f"{output}/{name}.png", dpi=150)
        plt.close(figure)

    data = {
        mode: [np.load(f"{arrays}/layer_{layer}_{mode}_gradients.npy") for layer in range(layers)]
        for mode in ("mean", "mean_abs")
    }
    for layer in range(layers):
        for mode, all_values in data.items():
            values = all_values[layer]
            title = f"Layer {layer}\nMax: {np.abs(values).max():.6f}, Mean: {values.mean():.6f}, Std: {values.std():.6f}"
            figure, ax = plt.subplots(figsize=INCH_SIZES["hist"])
            histogram(ax, values, 100, 12)
            ax.set_title(title, fontsize=14)
            save(figure, f"layer_{layer}_{mode}_gradient_hist")
            figure, ax = plt.subplots(figsize=INCH_SIZES["scatter"])
            scatter(ax, values, 12, 3)
            ax.set_title(title, fontsize=14)
            save(figure, f"layer_{layer}_{mode}_feature_scatter")
        for kind, draw in (("hist", lambda a, v: histogram(a, v, 100, 12)), ("scatter", lambda a, v: scatter(a, v, 12, 3))):
            figure, axes = plt.subplots(1, 2, figsize=INCH_SIZES["combined"])
            for ax, mode in zip(axes, data):
                draw(ax, data[mode][layer])
                ax.set_title(mode, fontsize=12)
            figure.suptitle(f"Layer {layer}", fontsize=16)
            plt.tight_layout()
            save(figure, f"layer_{layer}_gradient_{kind}_combined")
    for mode, all_values in data.items():
        for kind, draw in (("histograms", lambda a, v: histogram(a, v, 50, 8)), ("scatter", lambda a, v: scatter(a, v, 8, 0.5))):
            figure, axes = plt.subplots((layers + 5) // 6, 6, figsize=INCH_SIZES["all"], squeeze=False)
            for layer, ax in enumerate(axes.flatten()):
                if layer < layers:
                    draw(ax, all_values[layer])
                    ax.set_title(f"Layer {layer}", fontsize=10, fontweight="bold")
                    ax.tick_params(labelsize=7)
                else:
                    ax.axis("off")
            plt.tight_layout()
            save(figure, f"all_layers_{mode}_{kind}")


def run(command):
    """Wall seconds, processor seconds and peak memory in MB of one child process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    if status != 0:
        sys.exit(f"failed: {' '.join(command)}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--grad-plot", default=".build/release/grad-plot")
    parser.add_argument("--arrays", help="folder of layer_{i}_{mode}_gradients.npy of both modes")
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--features", type=int, default=65536)
    parser.add_argument("--threads", type=int, help="of grad-plot; matplotlib has one")
    parser.add_argument("--require", type=float, default=0, help="fail below this ratio of wall times")
    parser.add_argument("--max-memory", type=float, default=0, help="fail above this peak of grad-plot, in MB")
    parser.add_argument("--draw-with-matplotlib", metavar="OUTPUT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.draw_with_matplotlib:
        return draw_with_matplotlib(options.arrays, options.draw_with_matplotlib, options.layers)

    with tempfile.TemporaryDirectory() as folder:
        arrays = options.arrays or folder
        if not options.arrays:
            make_arrays(arrays, options.layers, options.features)
        files = [
            f"{arrays}/layer_{layer}_{mode}_gradients.npy" for layer in range(options.layers) for mode in ("mean", "mean_abs")
        ]
        threads = ["--threads", str(options.threads)] if options.threads else []
        outputs = {name: f"{folder}/{name}" for name in ("ours", "theirs")}
        for output in outputs.values():
            os.mkdir(output)
        ours = run([options.grad_plot, "--quiet", "--output", outputs["ours"], *threads, *files])
        theirs = run(
            [sys.executable, __file__, "--arrays", arrays, "--layers", str(options.layers)]
            + ["--draw-with-matplotlib", outputs["theirs"]]
        )
        for name, figures in (("grad-plot", ours), ("matplotlib", theirs)):
            output = outputs["ours" if figures is ours else "theirs"]
            count, size = len(os.listdir(output)), sum(os.path.getsize(f"{output}/{f}") for f in os.listdir(output))
            wall, processor, memory = figures
            print(
                f"{name:10}  {count} pictures  {size / 1e6:6.1f} MB  wall {wall:7.2f} s"
                f"  processor {processor:7.2f} s  peak memory {memory:5.0f} MB"
            )
        ratio = theirs[0] / ours[0]
        print(f"matplotlib / grad-plot: wall {ratio:.1f}, processor {theirs[1] / ours[1]:.1f}")
        if ratio < options.require:
            sys.exit(f"expected at least {options.require} times faster")
        if options.max_memory and ours[2] > options.max_memory:
            sys.exit(f"expected at most {options.max_memory} MB")


if __name__ == "__main__":
    main()
