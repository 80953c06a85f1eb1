"""What the benchmark reads: a model and autoencoders of the real shapes with random weights, and text.

Made with the standard library alone and the same every time. The weights are random signs and sizes between 2^-6 and
2^-5, about what a model is initialised with, or of one size where a norm is expected; matrix products do not care.
"""
import io
import json
import os
import random
import shutil
import struct
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FEATURES, ACTIVE = 65536, 64
MB = 1 << 20

# The configuration of Qwen2.5-0.5B.
CONFIG = {
    "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864,
    "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936,
    "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "max_position_embeddings": 32768,
    "tie_word_embeddings": True, "use_sliding_window": False, "torch_dtype": "bfloat16",
    "bos_token_id": 151643, "eos_token_id": 151643,
}

# The byte with the sign and the upper exponent, and the byte below it: its upper bit is the exponent's last.
SIGN_AND_EXPONENT = bytes(0xBC if byte & 1 else 0x3C for byte in range(256))
MANTISSA = bytes(byte | 0x80 for byte in range(256))


def random_weights(generator, count, size):
    """`count` numbers of `size` bytes, 2 for bf16 and 4 for float32, in pieces."""
    while count:
        piece = min(count, 16 * MB // size)
        values = bytearray(generator.randbytes(piece * size))
        values[size - 1 :: size] = values[size - 1 :: size].translate(SIGN_AND_EXPONENT)
        values[size - 2 :: size] = values[size - 2 :: size].translate(MANTISSA)
        yield values
        count -= piece


def random_signs(generator, rows, columns):
    """A float32 matrix, a row a piece, whose columns have norm 1: ±1/√rows."""
    size = struct.pack("<f", rows**-0.5)
    signs = bytes(size[3] | (byte & 0x80) for byte in range(256))
    for _ in range(rows):
        values = bytearray(size * columns)
        values[3::4] = generator.randbytes(columns).translate(signs)
        yield values


def complete(path, write):
    """Makes a file under its name only when it is whole."""
    partial = path.with_name(path.name + ".partial")
    with open(partial, "wb") as file:
        write(file)
    partial.rename(path)


def make_model(folder, config=CONFIG):
    """A checkpoint of that shape, in bf16: config.json and model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    D, F = config["hidden_size"], config["intermediate_size"]
    K = config["num_key_value_heads"] * D // config["num_attention_heads"]
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], D], "model.norm.weight": [D]}
    for layer in range(config["num_hidden_layers"]):
        for name, shape in {
            "input_layernorm.weight": [D], "post_attention_layernorm.weight": [D],
            "self_attn.q_proj.weight": [D, D], "self_attn.k_proj.weight": [K, D], "self_attn.v_proj.weight": [K, D],
            "self_attn.q_proj.bias": [D], "self_attn.k_proj.bias": [K], "self_attn.v_proj.bias": [K],
            "self_attn.o_proj.weight": [D, D],
            "mlp.gate_proj.weight": [F, D], "mlp.up_proj.weight": [F, D], "mlp.down_proj.weight": [D, F],
        }.items():
            shapes[f"model.layers.{layer}.{name}"] = shape
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * shape[0] * (shape[1] if len(shape) == 2 else 1)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)

    def write(file):
        generator = random.Random(0)
        file.write(struct.pack("<Q", len(text)) + text)
        for name, shape in shapes.items():
            if len(shape) == 2:
                for piece in random_weights(generator, shape[0] * shape[1], 2):
                    file.write(piece)
            else:
                file.write((b"\x80\x3f" if "norm" in name else b"\0\0") * shape[0])

    complete(folder / "model.safetensors", write)
    (folder / "config.json").write_text(json.dumps(config, indent=2))


def make_autoencoders(folder, config=CONFIG, features=FEATURES):
    """A BatchTopKSAE for every layer as dictionary_learning saves it; the layers' files are links to one.

    Of its features ACTIVE have a bias that keeps them active and the others one that keeps them off, so that as many
    are active as in a trained one, whatever the model.
    """
    D = config["hidden_size"]
    first = folder / "mlp_out_layer_0" / "trainer_0" / "ae.pt"
    for layer in range(config["num_hidden_layers"]):
        place = folder / f"mlp_out_layer_{layer}" / "trainer_0"
        place.mkdir(parents=True, exist_ok=True)
        (place / "config.json").write_text(json.dumps({"trainer": {
            "trainer_class": "BatchTopKTrainer", "dict_class": "BatchTopKSAE", "activation_dim": D,
            "dict_size": features, "k": ACTIVE, "layer": layer, "submodule_name": f"mlp_out_layer_{layer}"}}))
        if layer == 0:
            complete(first, lambda file: write_autoencoder(file, D, features))
        elif not (place / "ae.pt").exists():
            os.link(first, place / "ae.pt")


def write_autoencoder(file, D, F):
    """What torch.save writes: a stored zip of a pickle and one entry a tensor, aligned to 64 bytes."""
    spaced = F // ACTIVE
    tensors = {  # shape, strides, type, pieces of its bytes
        "b_dec": ((D,), (1,), "Float", [bytes(4 * D)]),
        "k": ((), (), "Int", [struct.pack("<i", ACTIVE)]),
        "threshold": ((), (), "Float", [struct.pack("<f", 0.5)]),
        # Both lie by columns of the features, as training leaves them.
        "decoder.weight": ((D, F), (F, 1), "Float", random_signs(random.Random(1), D, F)),
        "encoder.weight": ((F, D), (1, F), "Float", random_weights(random.Random(2), D * F, 4)),
        "encoder.bias": ((F,), (1,), "Float", [struct.pack("<f", 2) + struct.pack("<f", -2) * (spaced - 1)] * ACTIVE),
    }
    pickle = io.BytesIO()
    pickle.write(b"\x80\x02}(")
    for key, (name, (shape, strides, kind, _)) in enumerate(tensors.items()):
        count = 1
        for size in shape:
            count *= size
        storage = b"(" + text(b"storage") + b"ctorch\n%sStorage\n" % kind.encode() + text(b"%d" % key)
        storage += text(b"cpu") + integer(count) + b"tQ"
        sizes = b"".join(b"(" + b"".join(map(integer, numbers)) + b"t" for numbers in (shape, strides))
        pickle.write(text(name.encode()) + b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(0) + sizes)
        pickle.write(b"\x89ccollections\nOrderedDict\n)RtR")
    pickle.write(b"u.")
    with zipfile.ZipFile(file, "w") as archive:
        add(archive, "ae/data.pkl", [pickle.getvalue()])
        add(archive, "ae/byteorder", [b"little"])
        for key, (_, _, _, pieces) in enumerate(tensors.values()):
            add(archive, f"ae/data/{key}", pieces)
        add(archive, "ae/version", [b"3\n"])


def text(value):
    """Pickle's opcode for a string."""
    return b"X" + struct.pack("<I", len(value)) + value


def integer(value):
    """Pickle's opcode for an integer of 32 bits."""
    return b"J" + struct.pack("<i", value)


def add(archive, name, pieces):
    entry = zipfile.ZipInfo(name)
    padding = -(archive.fp.tell() + 30 + len(name) + 4) % 64
    entry.extra = struct.pack("<2sH", b"FB", padding) + bytes(padding)
    with archive.open(entry, "w") as file:
        for piece in pieces:
            file.write(piece)


def default_text():
    """WikiText where pipelines/fetch puts it, else the demo's text."""
    cache = os.environ.get("GRADIENT_FILTERS_DATA") or Path.home() / ".cache/gradient-filters"
    fetched = Path(cache) / "wikitext-2-raw/wiki.train.raw"
    return fetched if fetched.exists() else ROOT / "demo/sample.txt"


def default_tokenizer(model):
    """The model's own; else Qwen's where the hub's cache has it; else the demo's, whose ids every vocabulary has."""
    if (model / "tokenizer.json").exists():
        return model
    home = os.environ.get("HF_HOME") or Path.home() / ".cache/huggingface"
    cache = os.environ.get("HF_HUB_CACHE") or Path(home) / "hub"
    found = sorted(Path(cache).glob("models--Qwen--Qwen2.5-0.5B/snapshots/*/tokenizer.json"))
    return found[0].parent if found else ROOT / "demo/model"


def repeat(source, destination, size):
    """Copies a text until there are at least `size` bytes of it."""
    content = source.read_bytes()
    with open(destination, "wb") as file:
        while file.tell() < size:
            file.write(content)


def without_headings(source, destination):
    """The text as one document: WikiText's headings stand between = signs."""
    with open(source, encoding="utf-8", newline="\n") as lines, open(destination, "w", encoding="utf-8", newline="\n") as out:
        out.writelines(line for line in lines if not line.lstrip().startswith("="))


def join_lines(source, destination, characters, lines):
    """Lines of at least so many characters, each made of several of the source's."""
    words = source.read_text(encoding="utf-8").split()
    with open(destination, "w", encoding="utf-8") as file:
        position = 0
        for _ in range(lines):
            line = ""
            while len(line) < characters:
                line += words[position % len(words)] + " "
                position += 1
            file.write(line + "\n")


def prepare(folder):
    """The full-size model and its autoencoders, made where they are missing."""
    model, saes = folder / "model", folder / "saes"
    needed = 2 * 1000 * MB
    if not (model / "config.json").exists() or not (saes / "mlp_out_layer_23/trainer_0/ae.pt").exists():
        folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(folder).free < needed:
            sys.exit(f"{folder}: expected {needed // MB} MB free for a full-size model and an autoencoder")
        print(f"making a full-size model and autoencoders in {folder}", file=sys.stderr)
        make_model(model)
        make_autoencoders(saes)
    return model, saes / "mlp_out_layer_{layer}" / "trainer_0"
