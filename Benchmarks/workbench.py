"""What the groups of measurements share: inputs, streams made once, the rows of the tables."""
import json
import re
import subprocess
import sys
from dataclasses import asdict, dataclass

import data
import flop
import measure
import sgemm


@dataclass
class Row:
    """One measured run, or several added up."""

    name: str
    seconds: float
    tokens: int | None = None
    flop: float | None = None
    # GFLOP/s of sgemm on the same device just before and just after.
    sgemm: tuple | None = None
    # MB, of the largest process.
    peak: float | None = None
    mapped: float | None = None
    # Busy on average.
    cores: float | None = None
    # MiB of a GPU's memory, of all processes.
    gpu: int = 0
    note: str = ""

    @property
    def gflops(self):
        return self.flop / self.seconds / 1e9 if self.flop else None

    @property
    def share(self):
        """Of what sgemm would have done in the same time."""
        return self.gflops / (sum(self.sgemm) / 2) if self.flop and self.sgemm else None


class Workbench:
    def __init__(self, options, streams):
        self.options = options
        self.streams = streams
        self.config = json.loads((options.model / "config.json").read_text())
        self.shape = flop.Model(self.config)
        self.on_gpu = options.device != "cpu"
        self.has_real_shape = all(self.config[key] == data.CONFIG[key] for key in (
            "hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size"))
        self.layers = [layer for layer in range(self.shape.layers) if self.sae_files(layer)]
        if not self.layers:
            sys.exit(f"{options.sae}: expected autoencoders there")
        sae = json.loads((self.sae_files(self.layers[0])[0].parent / "config.json").read_text())
        self.features = sae["trainer"]["dict_size"]
        self.rows, self.ratios, self.goals = [], [], []
        self.made = {}
        self.text = streams / "text"
        data.repeat(options.text, self.text, 1 << (20 if options.quick else 23))
        self.tokens, self.lengths = self.tokenize("tokens.ts", self.text, options.samples)
        measure.read(*options.model.glob("*.safetensors"), *(f for layer in self.layers for f in self.sae_files(layer)))

    # Inputs

    def sae_files(self, layer):
        return sorted(self.sae_folder(layer).glob("*.pt"))

    def sae_folder(self, layer):
        return type(self.options.model)(str(self.options.sae).format(layer=layer))

    def tokenize(self, name, text, samples, *flags, tokenizer=None):
        """A tokens stream, and its samples' lengths: those of a stream with a sample a batch."""
        command = [self.program("wt-tokenize"), "--tokenizer", tokenizer or self.options.tokenizer]
        command += ["--num-samples", samples]
        command += ["--quiet", *flags, text]
        path, single = self.streams / name, self.streams / "single.ts"
        measure.run(command, stdout=path)
        measure.run([*command, "--batch-size", 1], stdout=single)
        listing = subprocess.run(
            [self.program("stream-info"), "--all", single], check=True, capture_output=True, text=True).stdout
        return path, [int(n) for n in re.findall(r"input_ids\s+I32 \[(\d+)\]", listing)]

    def describe_samples(self):
        return f"{len(self.lengths)} samples of {sum(self.lengths) / len(self.lengths):.0f} tokens"

    # Commands

    def program(self, name):
        return self.options.programs / name

    def filter(self, name, *flags, threads=None):
        # Not --quiet: they tell how much of a GPU's memory they had.
        return [
            self.program(name), "--device", self.options.device, *flags, "--threads", threads or self.options.threads]

    def capture(self, *flags, model=None, threads=None):
        return self.filter("qwen-capture", "--model", model or self.options.model, *flags, threads=threads)

    def act_grad(self, *flags, model=None, threads=None):
        return self.filter("act-grad", "--model", model or self.options.model, *flags, threads=threads)

    def sae_grad(self, *layers, flags=(), threads=None):
        return self.filter(
            "sae-grad", "--model", self.options.model, "--sae", self.options.sae,
            "--layers", ",".join(map(str, layers)), *flags, threads=threads)

    def aggregate(self, *flags, threads=None):
        return self.filter("grad-aggregate", *flags, threads=threads)

    def python(self, module):
        """Whether the virtual environment has a module; where not, what is skipped is said once."""
        if module not in self.made:
            reason = "--skip-pytorch" if self.options.skip_pytorch else ""
            if not reason and not self.options.python.exists():
                reason = f"{self.options.python} is not there: make venv"
            check = f"import {module}"
            if module == "torch" and self.on_gpu:
                check += "; torch.zeros(1, device='cuda')"
            if not reason and subprocess.run([self.options.python, "-c", check], capture_output=True).returncode != 0:
                reason = f"{self.options.python} does not have it{' for this GPU' * self.on_gpu}: make venv"
            if reason:
                print(f"not compared with {module}: {reason}", flush=True)
            self.made[module] = not reason
        return self.made[module]

    def peer(self, *arguments):
        """What peers.py prints, and its run. Once for the same arguments."""
        if arguments not in self.made:
            output = self.streams / "peer.json"
            command = [self.options.python, data.ROOT / "Benchmarks/peers.py", *arguments]
            run = measure.run(command, stdout=output, environment={
                "RAYON_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error",
                "HF_HUB_DISABLE_PROGRESS_BARS": "1", "PYTHONWARNINGS": "ignore"})
            self.made[arguments] = (json.loads(output.read_text()), run)
        return self.made[arguments]

    def torch(self, job, *arguments):
        return self.peer(
            job, "--model", self.options.model, "--device", self.options.device,
            "--threads", str(self.options.threads), *arguments)

    # Measuring

    def sgemm(self):
        if self.options.quick:
            return sgemm.rate(self.options.threads, 0.2, self.options.device, rows=64)
        return sgemm.rate(self.options.threads, 1, self.options.device)

    def time(self, name, *commands, stdin, stdout=None, tokens=None, flop=None, repeats=1):
        """Runs a pipeline between two measurements of sgemm, and adds its row. The fastest of `repeats` counts."""
        before = self.sgemm()
        runs = [measure.run(*commands, stdin=stdin, stdout=stdout) for _ in range(repeats)]
        run = min(runs, key=lambda run: run.seconds)
        largest = max(run.processes, key=lambda process: process.peak)
        self.add(Row(name, run.seconds, tokens, flop, (before, self.sgemm()), largest.peak, largest.mapped, run.cores,
                     run.gpu))
        return run

    def once(self, name, *arguments, **keywords):
        """A run whose stream several groups need: made, and timed, the first time."""
        if name not in self.made:
            self.made[name] = self.time(name, *arguments, **keywords)
        return self.made[name]

    def row(self, name):
        return next(row for row in self.rows if row.name == name)

    # Tables

    columns = "{:<52} {:>8} {:>9} {:>8} {:>13} {:>7} {:>6} {:>8} {:>8}"

    def header(self):
        return self.columns.format(
            "", "s", "tokens/s", "GFLOP/s", "sgemm", "share", "cores", "peak MB", "mapped")

    def add(self, row):
        self.rows.append(row)
        notes = ([f"{row.gpu} MiB of GPU memory"] if row.gpu else []) + ([row.note] if row.note else [])
        print(self.columns.format(
            row.name,
            f"{row.seconds:.2f}",
            f"{row.tokens / row.seconds:.0f}" if row.tokens else "",
            f"{row.gflops:.1f}" if row.flop else "",
            "{:.0f}, {:.0f}".format(*row.sgemm) if row.sgemm else "",
            f"{row.share:.1%}" if row.share else "",
            f"{row.cores:.2f}" if row.cores else "",
            f"{row.peak:.0f}" if row.peak else "",
            f"{row.mapped:.0f}" if row.mapped is not None else "") + f"  {', '.join(notes)}".rstrip(), flush=True)

    def ratio(self, name, value, unit="x", at_least=None, at_most=None):
        """A figure that follows from the rows; with a bound it is a goal, too."""
        self.ratios.append((name, value, unit))
        if at_least is not None or at_most is not None:
            self.goal(name, value, unit, at_least, at_most)

    def goal(self, name, value, unit, at_least=None, at_most=None):
        met = value >= at_least if at_least is not None else value <= at_most
        bound = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
        self.goals.append((name, value, unit, f"{bound} {unit}", met))

    def share_goal(self, name, at_least):
        self.goal(f"{name}: share of sgemm", 100 * self.row(name).share, "%", at_least=at_least)

    def print_ratios(self):
        if self.ratios:
            print()
        for name, value, unit in self.ratios:
            print(f"{name:<72} {value:>9.2f} {unit}")

    def print_goals(self):
        if self.goals:
            print(f"\n{'goals':<72}")
        for name, value, unit, bound, met in self.goals:
            print(f"{name:<72} {value:>9.2f} {unit:<4} {bound:<18} {'met' if met else 'missed'}")

    def results(self):
        rows = [asdict(row) | {"gflops": row.gflops, "share": row.share} for row in self.rows]
        ratios = [dict(zip(("name", "value", "unit"), ratio)) for ratio in self.ratios]
        goals = [dict(zip(("name", "value", "unit", "goal", "met"), goal)) for goal in self.goals]
        return {"rows": rows, "ratios": ratios, "goals": goals if self.has_real_shape else []}
