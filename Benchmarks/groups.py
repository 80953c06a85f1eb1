"""The measurements. Each group adds rows, ratios and goals; groups that need the same stream share the run."""
import json
import os
import re
import subprocess

import data
import flop
import measure
from workbench import Row

ACT = "qwen-capture | act-grad, all layers"
CAPTURE = "qwen-capture --loss"
ERROR_TERM = "capture | sae-grad --use-error-term | aggregate"
ACTIVATION_ANALYSIS = "capture | act-grad | aggregate, all layers"
FEATURE_ANALYSIS = "capture | sae-grad | aggregate, all layers"
PEER_TOKENS = 4 * 128


def tokenize(bench):
    """Text into tokens against Hugging Face's tokenizers, both on one thread, both without loading the vocabulary."""
    # wt-tokenize says on standard error how many samples there were, so it is not asked for more than there are.
    with open(bench.text, encoding="utf-8", newline="\n") as file:
        lines = [line for line in file if len(line.strip()) > 50]
    size = sum(len(line.encode()) for line in lines)
    for tokenizer in [bench.options.tokenizer, *bench.options.beside]:
        # Not cut, so that both tokenize the same.
        flags = ["--quiet", "--tokenizer", tokenizer, "--max-length", 1 << 20, bench.text, "--num-samples"]
        loading = min(measure.run([bench.program("wt-tokenize"), *flags, 1]).seconds for _ in range(3))
        command = [bench.program("wt-tokenize"), *flags, len(lines)]
        run = min((measure.run(command) for _ in range(3)), key=lambda run: run.seconds)
        seconds = run.seconds - loading
        name = "" if tokenizer == bench.options.tokenizer else f", {tokenizer.name}"
        note = f"{size / seconds / 1e6:.1f} MB/s, loading {loading:.2f} s"
        bench.add(Row(f"wt-tokenize{name}", seconds, peak=run.peak, cores=run.cores, note=note))
        if bench.python("tokenizers"):
            peer, run = bench.peer("tokenize", "--tokenizer", tokenizer, "--text", bench.text)
            bench.add(Row("  tokenizers, encode_batch", peer["seconds"], peer["tokens"], peak=run.peak))
            bench.ratio(f"tokenizers / wt-tokenize{name}: time", peer["seconds"] / seconds, at_least=5)


def activations(bench):
    run = activation_gradients(bench)
    bench.share_goal(ACT, 85)
    bench.goal("act-grad: peak memory", run.processes[1].peak / 1024, "GB", at_most=3.2)
    pipe_sizes(bench, "of captured activations (layer 0)", run.processes[0])
    pipe_sizes(bench, "of activation gradients", run.processes[1])
    if bench.python("torch"):
        ours = PEER_TOKENS * bench.row(ACT).seconds / sum(bench.lengths)
        peer, run = bench.torch("all-layers")
        bench.add(peer_row("  PyTorch, one pass for all layers", peer["seconds"], peer, run))
        bench.ratio("PyTorch, one pass / act-grad: time a token", peer["seconds"] / ours, at_least=1.6)
        bench.ratio("PyTorch, a pass a layer / act-grad: time a token", torch_activations(bench) / ours, at_least=35)


def beside(bench):
    """The activation gradients of other models, by their own tokens: how near the matrix rate, next to this one's."""
    if not bench.options.beside:
        return
    activation_gradients(bench)
    for model in bench.options.beside:
        shape = flop.Model(json.loads((model / "config.json").read_text()))
        tokens, lengths = bench.tokenize(
            f"{model.name}.ts", bench.text, bench.options.samples, tokenizer=model)
        measure.read(*model.glob("*.safetensors"))
        name = f"{model.name}: capture | act-grad"
        bench.time(
            name, bench.capture("--layers", "0", model=model), bench.act_grad(model=model), stdin=tokens,
            tokens=sum(lengths), flop=shape.capture(lengths, 0) + shape.gradients(lengths, 0))
        bench.goal(
            f"{model.name}: share of sgemm beyond the first model's",
            100 * (bench.row(name).share - bench.row(ACT).share), "points", at_least=-5)


def features(bench):
    """An autoencoder in place of the MLP output: a few layers, and from them all."""
    run = captured(bench)
    pipe_sizes(bench, "of captured activations (all layers)", run.processes[0])
    layers = measured_layers(bench)
    times, memory = {}, 0
    for layer in layers:
        run = feature_gradients(bench, layer)
        times[layer], memory = run.seconds, max(memory, run.processes[0].private)
    pipe_sizes(bench, "of feature gradients (one layer)", run.processes[0])
    capture = bench.row(CAPTURE)
    name = f"capture + sae-grad, {bench.shape.layers} layers, added up"
    rows = [capture] + [bench.row(sae_row(layer)) for layer in layers]
    bench.add(Row(
        name, capture.seconds + all_layers(bench, times), sum(bench.lengths),
        capture.flop + sum(replaced_flop(bench, layer) for layer in range(bench.shape.layers)),
        tuple(sum(row.sgemm[i] for row in rows) / len(rows) for i in (0, 1))))
    bench.share_goal(name, 85)
    bench.goal("sae-grad, one layer: memory beyond mapped files", memory / 1024, "GB", at_most=2.5)
    if bench.python("torch"):
        ours = PEER_TOKENS * bench.row(name).seconds / sum(bench.lengths)
        seconds = torch_features(bench)
        bench.ratio("PyTorch, the scripts' way / sae-grad: time a token", seconds / ours, at_least=4)


def analyses(bench):
    """Both analyses as a whole, from tokens to averages: every layer, each analysis one process a program."""
    lengths, layers = bench.lengths, bench.layers
    captured_to = bench.shape.capture(lengths, 0)
    bench.time(
        ACTIVATION_ANALYSIS, bench.capture("--layers", "0"), bench.act_grad(), bench.aggregate(), stdin=bench.tokens,
        tokens=sum(lengths), flop=captured_to + bench.shape.gradients(lengths, 0))
    product = flop.features(bench.shape.width, bench.features, flop.recorded(lengths))
    work = bench.shape.capture(lengths, layers[-1]) + len(layers) * product
    work += sum(replaced_flop(bench, layer) for layer in layers)
    bench.time(
        FEATURE_ANALYSIS, bench.capture("--layers", ",".join(map(str, layers))), bench.sae_grad(*layers),
        bench.aggregate(), stdin=bench.tokens, tokens=sum(lengths), flop=work)
    for name in (ACTIVATION_ANALYSIS, FEATURE_ANALYSIS):
        bench.goal(f"{name}: share of sgemm", 100 * bench.row(name).share, "%", at_least=60)
    if bench.on_gpu and len(lengths) == 500:
        bench.goal(f"{FEATURE_ANALYSIS}: time", bench.row(FEATURE_ANALYSIS).seconds, "s", at_most=60)
    if bench.python("torch"):
        for name, torch in ((ACTIVATION_ANALYSIS, torch_activations), (FEATURE_ANALYSIS, torch_features)):
            ours = PEER_TOKENS * bench.row(name).seconds / sum(lengths)
            bench.ratio(f"PyTorch, the scripts' way / {name}: time a token", torch(bench) / ours, at_least=5)


def error_term(bench):
    lengths, layers = bench.lengths, bench.layers
    products = 2 * len(layers) * flop.features(bench.shape.width, bench.features, flop.recorded(lengths))
    capture = bench.shape.capture(lengths, layers[-1])
    run = bench.time(
        ERROR_TERM, bench.capture("--layers", ",".join(map(str, layers))),
        bench.sae_grad(*layers, flags=["--use-error-term"]), bench.aggregate(), stdin=bench.tokens,
        tokens=sum(lengths), flop=capture + bench.shape.gradients(lengths, layers[0]) + products)
    bench.goal(f"{ERROR_TERM}: share of sgemm", 100 * bench.row(ERROR_TERM).share, "%", at_least=80)
    pipe_sizes(bench, f"of feature gradients ({len(layers)} layers)", run.processes[1])
    for process in run.processes:
        bench.ratio(f"  {process.name}: peak memory", process.peak, "MB")
        bench.ratio(f"  {process.name}: of it not mapped from files", process.private, "MB")
    if bench.python("torch") and len(layers) == bench.shape.layers:
        ours = PEER_TOKENS * bench.row(ERROR_TERM).seconds / sum(lengths)
        bench.ratio(
            "PyTorch, the scripts' way / sae-grad --use-error-term | aggregate: time a token",
            torch_features(bench) / ours, at_least=30)


def aggregate(bench):
    """Averages alone: absolute ones need a product with the decoder, signed ones none."""
    layers = measured_layers(bench)
    files = []
    for layer in layers:
        feature_gradients(bench, layer)
        files.append(bench.streams / f"features-{layer}.ts")
    products = len(layers) * flop.features(bench.shape.width, bench.features, flop.recorded(bench.lengths))
    name = f"grad-aggregate, {bench.features} features, {len(layers)} layers"
    run = bench.time(name, bench.aggregate("--mode", "mean_abs", *files), stdin=None, flop=products)
    bench.share_goal(name, 80)
    bench.goal("grad-aggregate: peak memory", run.peak / 1024, "GB", at_most=0.6)
    bench.goal("grad-aggregate: memory beyond mapped files", run.processes[0].private / 1024, "GB", at_most=0.6)
    activation_gradients(bench)
    stream = bench.streams / "activations.ts"
    size = os.path.getsize(stream) / 1e6
    name = "grad-aggregate --mode mean, activation gradients"
    averaging = min(
        (measure.run(bench.aggregate("--mode", "mean"), stdin=stream) for _ in range(3)), key=lambda run: run.seconds)
    reading = min(measure.run([bench.program("stream-info"), "--check"], stdin=stream).seconds for _ in range(3))
    bench.add(Row(name, averaging.seconds, peak=averaging.peak, note=f"{size / averaging.seconds:.0f} MB/s"))
    bench.add(Row("  stream-info --check of the same", reading, note=f"{size / reading:.0f} MB/s"))
    bench.ratio("reading and verifying / grad-aggregate --mode mean: time", reading / averaging.seconds)
    features = ",".join(f"{layer}:{index}" for layer in bench.layers for index in range(20))
    search = [bench.program("grad-contexts"), "--quiet", "--by", "gradient", "--features", features]
    run = min((measure.run(search, stdin=stream) for _ in range(3)), key=lambda run: run.seconds)
    bench.add(Row("  grad-contexts of 20 dimensions a layer of the same", run.seconds, peak=run.peak,
                  note=f"{size / run.seconds:.0f} MB/s"))
    standard_errors(bench)


def standard_errors(bench):
    """What standard errors add for one layer's features, and attributions alone. A text of one document has one unit, of
    which there is no standard error; its samples as units have them: the same stream, and nothing else is different."""
    layer = measured_layers(bench)[-1]
    text, stream = bench.streams / "one-document", bench.streams / "one-document.ts"
    data.without_headings(bench.text, text)
    tokens, lengths = bench.tokenize("one-document-tokens.ts", text, bench.options.samples)
    made = measure.run(
        bench.capture("--layers", layer), bench.sae_grad(layer, flags=["--use-error-term"]), stdin=tokens, stdout=stream)

    def averaged(*flags):
        return measure.run(bench.aggregate(*flags), stdin=stream)

    for mode in ("mean_abs", "both"):
        pairs = [[averaged("--mode", mode, "--unit", unit) for unit in ("sample", "document")] for _ in range(5)]
        for name, runs in zip(("samples as units", "one unit: no standard errors"), zip(*pairs)):
            run = min(runs, key=lambda run: run.seconds)
            bench.add(Row(f"grad-aggregate --mode {mode}, {name}", run.seconds, sum(lengths), peak=run.peak, cores=run.cores))
        ratios = sorted(one.processes[0].processor / other.processes[0].processor for one, other in pairs)
        bench.ratio(f"standard errors of {mode}: processor time with / without", ratios[2], at_most=1.05)
    attributions(bench, stream, os.path.getsize(stream) / made.seconds)


def attributions(bench, stream, speed):
    """Attributions alone, next to activations, for which as much is read and nothing multiplied.

    - speed: bytes a second at which sae-grad writes such a stream.
    """
    if not bench.python("numpy"):
        return
    kinds = {"same": "the same features", "trained": "as in a trained autoencoder", "any": "features vary evenly"}
    for kind, name in kinds.items():
        varied = bench.streams / "varied.ts"
        subprocess.run(
            [bench.options.python, data.ROOT / "Benchmarks/vary_features.py", "--features", str(bench.features), "--active", kind,
             "--positions", "1000" if bench.options.quick else "61440", stream, varied], check=True)
        size = os.path.getsize(varied)
        pairs = [[measure.run(bench.aggregate("--quantity", quantity, "--mode", "both"), stdin=varied)
                  for quantity in ("attribution", "activation")] for _ in range(3)]
        fastest = [min(runs, key=lambda run: run.seconds) for runs in zip(*pairs)]
        for quantity, run in zip(("attribution", "activation"), fastest):
            indent = "  " if quantity == "activation" else ""
            bench.add(Row(f"{indent}grad-aggregate --quantity {quantity}, {name}", run.seconds, peak=run.peak,
                          cores=run.cores, note=f"{size / 1e6 / run.seconds:.0f} MB/s"))
        reading = min(measure.run([bench.program("stream-info"), "--check"], stdin=varied).seconds for _ in range(3))
        bench.add(Row("  stream-info --check of the same", reading, note=f"{size / 1e6 / reading:.0f} MB/s"))
        ratios = sorted(one.processes[0].processor / other.processes[0].processor for one, other in pairs)
        bench.ratio(f"attributions / activations alone, {name}: processor time", ratios[len(ratios) // 2])
        bench.ratio(f"reading and verifying / attributions alone, {name}: time", reading / fastest[0].seconds)
        bench.ratio(
            f"attributions alone / sae-grad, {name}: speed of the stream", size / fastest[0].seconds / speed, at_least=10)
        varied.unlink()


def plot(bench):
    """The pictures of a run of all layers (quick: two) and both modes against matplotlib's."""
    if not bench.python("matplotlib"):
        return
    output = subprocess.run(
        [bench.options.python, data.ROOT / "Tests/Show/PlottingTests/compare_with_matplotlib.py",
         "--grad-plot", bench.program("grad-plot"), "--threads", str(bench.options.threads),
         "--layers", str(2 if bench.options.quick else bench.shape.layers), "--features", str(bench.features)],
        check=True, capture_output=True, text=True).stdout
    found = re.findall(r"(\d+) pictures.*wall +([\d.]+) s.*memory +(\d+) MB", output)
    for name, (count, seconds, peak) in zip(("grad-plot", "  matplotlib, one thread"), found):
        bench.add(Row(name, float(seconds), peak=float(peak), note=f"{count} pictures"))
    bench.ratio("matplotlib / grad-plot: time", float(found[1][1]) / float(found[0][1]))


def start(bench):
    """From the start to the end of a stream of one small batch, everything in the page cache."""
    tokens, lengths = bench.tokenize("one.ts", bench.text, 1, "--max-length", 16)
    acts = bench.streams / "one-acts.ts"
    layer = bench.layers[len(bench.layers) // 2]
    # Seconds: a GPU's context and its copy of the weights take some.
    most = 3 if bench.on_gpu else 1
    name = "start: qwen-capture | act-grad, 16 tokens"
    run = bench.time(name, bench.capture("--layers", "0"), bench.act_grad(), stdin=tokens, repeats=3)
    bench.goal(f"{name}: time", run.seconds, "s", at_most=most)
    measure.run(bench.capture("--loss", "--layers", str(layer)), stdin=tokens, stdout=acts)
    name = f"start: sae-grad, layer {layer}, 16 tokens"
    run = bench.time(name, bench.sae_grad(layer), stdin=acts, repeats=3)
    bench.goal(f"{name}: time", run.seconds, "s", at_most=most)
    if bench.python("torch"):
        _, run = bench.torch("start", "--samples", "1", "--length", str(lengths[0]))
        bench.add(Row("  PyTorch: import, load, one pass", run.seconds, peak=run.peak))


def side_by_side(bench):
    """Two layers as one process each with half of the threads, and the same two in one process with all of them.

    The layers' passes differ in length, so each process counts with its own time.
    """
    half = max(1, bench.options.threads // 2)
    middle = len(bench.layers) // 2
    layers = bench.layers[max(0, middle - 1) : middle + 1]
    captured(bench)
    acts = bench.streams / "captured.ts"
    work = [replaced_flop(bench, layer) for layer in layers]
    names = ",".join(map(str, layers))
    one = bench.time(
        f"sae-grad, layers {names}, one process", bench.sae_grad(*layers), stdin=acts,
        tokens=sum(bench.lengths), flop=sum(work))
    before = bench.sgemm()
    runs = measure.side_by_side([bench.sae_grad(layer, threads=half) for layer in layers], acts)
    together = sum(amount / run.seconds for amount, run in zip(work, runs))
    seconds = sum(work) / together
    bench.add(Row(
        f"sae-grad, layers {names}, a process each, {half} thread{'s' * (half > 1)}", seconds, sum(bench.lengths),
        sum(work), (before, bench.sgemm()), max(run.peak for run in runs), max(run.processes[0].mapped for run in runs),
        sum(run.cores for run in runs)))
    bench.ratio("a process a layer / one process: throughput", 100 * one.seconds / seconds, "%", at_least=95)


def growth(bench):
    """Twice the samples, and samples eight times as long."""
    count = max(1, bench.options.samples // 2)
    length = min(8 * 128, bench.config["max_position_embeddings"])
    long_lines = bench.streams / "long-lines"
    data.join_lines(bench.options.text, long_lines, 8 * length, count * 128 // length + 1)
    runs = {}
    for name, text, samples, most in [
            ("half", bench.text, count, 128), ("twice", bench.text, 2 * count, 128),
            ("short", long_lines, count * 128 // length + 1, 128), ("long", long_lines, count * 128 // length, length)]:
        flags = ["--max-length", most]
        if name == "short":
            # As many tokens as the long samples have.
            text, samples = bench.streams / "short-lines", count
            data.join_lines(bench.options.text, text, 8 * 128, count)
        tokens, lengths = bench.tokenize(f"growth-{name}.ts", text, samples, *flags)
        work = bench.shape.capture(lengths, 0) + bench.shape.gradients(lengths, 0)
        run = bench.time(
            f"act-grad pipeline, {len(lengths)} samples of {sum(lengths) / len(lengths):.0f}",
            bench.capture("--layers", "0"), bench.act_grad(), stdin=tokens, tokens=sum(lengths), flop=work)
        runs[name] = (run, sum(lengths))
    time = {name: run.seconds / tokens for name, (run, tokens) in runs.items()}
    bench.ratio("twice the samples: time a token", time["twice"] / time["half"], at_most=1.05)
    peaks = [runs[name][0].processes[1].peak for name in ("twice", "half")]
    bench.ratio("twice the samples: act-grad's peak memory", peaks[0] / peaks[1], at_most=1.05)
    bench.ratio(f"samples of {length} for 128 tokens: time a token", time["long"] / time["short"], at_most=1.3)


def pipe(bench):
    """How fast a stream goes from a writer through a pipe to a reader that verifies it, with nothing computed."""
    if not (bench.options.programs / "stream-pipe").exists():
        print("no stream-pipe: BENCHMARKS=1 swift build -c release --product stream-pipe")
        return
    cores = len(os.sched_getaffinity(0))
    total = 200 if bench.options.quick else 8000
    for megabytes in [1, 50, 1000]:
        if megabytes > total:
            continue
        run = measure.run(
            [bench.program("stream-pipe"), total // megabytes, megabytes], [bench.program("stream-info"), "--check"])
        rate = total // megabytes * megabytes / 1000 / run.seconds
        bench.add(Row(
            f"stream, records of {megabytes} MB: write | read", run.seconds, peak=run.peak, cores=run.cores,
            note=f"{rate:.2f} GB/s on {cores} cores"))
        if cores >= 8 and not bench.options.quick:
            bench.goal(f"stream through a pipe, records of {megabytes} MB", rate, "GB/s", at_least=3)


GROUPS = {
    "tokenize": tokenize, "activations": activations, "beside": beside, "features": features, "error-term": error_term,
    "aggregate": aggregate, "plot": plot, "start": start, "side-by-side": side_by_side, "growth": growth,
    "analyses": analyses, "pipe": pipe,
}
# Goals of the others are the processor's, and a whole analysis of features takes it long.
ON_GPU = ["analyses", "start", "pipe"]
ON_PROCESSOR = [name for name in GROUPS if name != "analyses"]


# Streams that several groups need


def activation_gradients(bench):
    lengths = bench.lengths
    return bench.once(
        ACT, bench.capture("--layers", "0"), bench.act_grad(), stdin=bench.tokens,
        stdout=bench.streams / "activations.ts", tokens=sum(lengths),
        flop=bench.shape.capture(lengths, 0) + bench.shape.gradients(lengths, 0))


def captured(bench):
    return bench.once(
        CAPTURE, bench.capture("--loss"), stdin=bench.tokens, stdout=bench.streams / "captured.ts",
        tokens=sum(bench.lengths), flop=bench.shape.capture(bench.lengths, 0, loss=True))


def feature_gradients(bench, layer):
    captured(bench)
    return bench.once(
        sae_row(layer), bench.sae_grad(layer), stdin=bench.streams / "captured.ts",
        stdout=bench.streams / f"features-{layer}.ts", tokens=sum(bench.lengths), flop=replaced_flop(bench, layer))


def sae_row(layer):
    return f"sae-grad, layer {layer}"


def replaced_flop(bench, layer):
    encoding = flop.features(bench.shape.width, bench.features, flop.recorded(bench.lengths))
    return bench.shape.gradients(bench.lengths, layer) + encoding


def measured_layers(bench):
    """The lowest, middle and highest layer with an autoencoder."""
    return sorted({bench.layers[0], bench.layers[len(bench.layers) // 2], bench.layers[-1]})


def all_layers(bench, times):
    """The sum over all of the model's layers of a time that was measured at some: what a layer costs is linear in the
    number of layers above it, so between two measured ones the line through both is taken, and beyond the last ones
    the nearest such line."""
    known = sorted(times.items())
    if len(known) == 1:
        return known[0][1] * bench.shape.layers
    total = 0
    for layer in range(bench.shape.layers):
        at = next((i for i in range(1, len(known)) if layer <= known[i][0]), len(known) - 1)
        (low, first), (high, second) = known[at - 1], known[at]
        total += first + (second - first) * (layer - low) / (high - low)
    return total


def torch_activations(bench):
    """The scripts' algorithm for activations, all layers, one batch."""
    return torch_layers(bench, "  PyTorch, a pass a layer, added up", "activations")


def torch_features(bench):
    """The scripts' algorithm for features, all layers, one batch."""
    name = "  PyTorch, the scripts' way for features, added up"
    return torch_layers(bench, name, "features", "--sae", str(bench.options.sae))


def torch_layers(bench, name, job, *arguments):
    """Seconds of the first layer's and the last's passes, added up for all; a row the first time."""
    layers = sorted({bench.layers[0], bench.layers[-1]})
    peer, run = bench.torch(job, *arguments, "--layers", ",".join(map(str, layers)))
    seconds = all_layers(bench, {layer: peer["seconds"][str(layer)] for layer in layers})
    if not any(row.name == name for row in bench.rows):
        bench.add(peer_row(name, seconds, peer, run))
    return seconds


def peer_row(name, seconds, peer, run):
    note = "4 samples of 128 tokens"
    return Row(name, seconds, PEER_TOKENS, peak=run.peak, cores=run.cores, gpu=peer["gpu"], note=note)


def pipe_sizes(bench, name, process):
    if process.written is not None:
        bench.ratio(f"bytes a token {name}", process.written / sum(bench.lengths), "B")
