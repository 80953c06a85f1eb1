#!/usr/bin/env python3
"""How near the filters come to the machine's or a GPU's own matrix rate, and how far they are ahead of PyTorch.

    make bench          the real shapes: Qwen2.5-0.5B and 65,536 features, with random weights made in .build/bench
    make bench-quick    the demo's small model, to see that all of it runs
    Benchmarks/bench.py --only activations,start --samples 16 --json results.json
    Benchmarks/bench.py --only tokenize,beside --beside .build/real/smollm2-135m --beside .build/real/gemma-3-270m
    Benchmarks/bench.py --device cuda      whole analyses of 500 samples on a GPU

Prints a table of what was run, a table of ratios, and the goals where the model has the real shape. docs/performance.md
tells how to read them. Needs Python alone; what is compared with PyTorch, tokenizers or matplotlib runs in the virtual
environment of `make venv`, and is skipped where there is none.
"""
import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from pathlib import Path

import data
from groups import GROUPS, ON_GPU, ON_PROCESSOR
from workbench import Workbench


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the demo's model, and little of everything")
    parser.add_argument("--programs", type=Path, default=data.ROOT / ".build/release", help="folder of the programs")
    parser.add_argument("--folder", type=Path, default=data.ROOT / ".build/bench", help="for models and streams")
    parser.add_argument("--model", type=Path, help="a model's folder (default: made, with random weights)")
    parser.add_argument("--sae", help="its autoencoders, {layer} being the layer (default: made, with random weights)")
    parser.add_argument(
        "--beside", type=Path, action="append", default=[], metavar="MODEL",
        help="a folder of another model and its tokenizer, measured too; may be repeated")
    parser.add_argument("--tokenizer", type=Path, help="(default: the model's, Qwen's in the hub's cache, the demo's)")
    parser.add_argument("--text", type=Path, help="(default: where pipelines/fetch puts WikiText, or the demo's)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N (default: cpu)")
    parser.add_argument("--samples", type=int, help="samples of up to 128 tokens (default: 32, on a GPU 500)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="(default: the cores)")
    parser.add_argument("--python", type=Path, default=data.ROOT / ".build/venv/bin/python", help="that has PyTorch")
    parser.add_argument("--skip-pytorch", action="store_true", help="compare with nothing that needs --python")
    parser.add_argument(
        "--only", help=f"of {', '.join(GROUPS)} (default: all but analyses, on a GPU {' and '.join(ON_GPU)})")
    parser.add_argument("--json", type=Path, help="also write all figures into this file")
    options = parser.parse_args()
    on_gpu = options.device != "cpu"
    options.only = options.only.split(",") if options.only else ON_GPU if on_gpu else ON_PROCESSOR
    for group in options.only:
        if group not in GROUPS:
            parser.error(f"--only: expected some of {', '.join(GROUPS)}, found {group}")
    if not (options.programs / "act-grad").exists():
        parser.error(f"{options.programs}: expected the programs there: make build, or --programs")
    if (options.model is None) != (options.sae is None):
        parser.error("--model and --sae: expected both or neither")
    if options.quick:
        options.model = options.model or data.ROOT / "demo/model"
        options.sae = options.sae or str(data.ROOT / "demo/saes/mlp_out_layer_{layer}/trainer_0")
    elif options.model is None:
        options.model, options.sae = data.prepare(options.folder)
    options.samples = options.samples or (500 if on_gpu and not options.quick else 32)
    options.tokenizer = options.tokenizer or data.default_tokenizer(options.model)
    options.text = options.text or (data.ROOT / "demo/sample.txt" if options.quick else data.default_text())
    return options


def main():
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    # So that the streams of a run that is ended early are removed as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="streams-", dir=options.folder) as streams:
        bench = Workbench(options, Path(streams))
        where = f"{processor()}, {options.threads} threads" + (f"; {options.device}" if bench.on_gpu else "")
        print(f"{where}; {options.model}, {bench.describe_samples()}")
        print(bench.header(), flush=True)
        failed = []
        for name in options.only:
            try:
                GROUPS[name](bench)
            except SystemExit as failure:
                print(f"{name}: {failure}", file=sys.stderr)
                failed.append(name)
        bench.print_ratios()
        if bench.has_real_shape:
            bench.print_goals()
        if options.json:
            figures = {
                "processor": processor(), "threads": options.threads, "device": options.device,
                "samples": bench.describe_samples(), "failed": failed}
            options.json.write_text(json.dumps(figures | bench.results(), indent=2) + "\n")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
