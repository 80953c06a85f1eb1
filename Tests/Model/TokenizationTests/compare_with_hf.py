#!/usr/bin/env python3
"""Compare this package's tokenizer with Hugging Face tokenizers on random text.

    pip install tokenizers==0.23.3
    Tests/Model/TokenizationTests/compare_with_hf.py --tokenizer ../shared/data/qwen2.5-0.5b --count 100000

writes random texts and their ids by Hugging Face tokenizers to a file, and runs the test `matchesRecordedCases`,
which reads that file where TOKENIZATION_CASES names it. --exhaustive adds texts that hold every scalar of Unicode
alone, between letters, and between combining marks.

--all-pairs takes instead of a vocabulary one in which any two bytes merge: the merges of a real one never cross the
end of a word, and so hide most mistakes in where a word ends.

    Tests/Model/TokenizationTests/compare_with_hf.py --tokenizer ../shared/data/qwen2.5-0.5b --lines wiki.test.raw

prints instead what RealTokenizerTests expects of a file: the number of ids of its lines, and the XXH64 of all lines'
ids, each line's count before them, as little-endian 32-bit numbers (needs xxhash).
"""

import argparse
import array
import json
import os
import random
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import tokenizers

REPOSITORY = Path(__file__).resolve().parents[3]
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<tool_call>", "<|im_", "<|", "|>", "</tool_call>", "<|endoftext|"]
PIECES = [
    "'s", "'S", "'ſ", "'t", "'RE", "'rE", "'Ve", "'m", "'LL", "'lL", "'d", "'D", "'", "’s", " '", "''s", "'sam",
    "\n", "\r\n", "\r", "\n\n", " \n", "\n ", "\t", "  ", "   ", " ", "\u00a0", "\u3000", "\u2028", "\u0085", "\x1c",
    "\x00", "\x7f", "\u200b", "\u200d", "\ufeff", "\ufffd", "\ufe0f", "\u0301", "e\u0301", "e\u0323\u0301",
    "e\u0301\u0323", "\u1100\u1161\u11a8", "\uac00\u11a8", "\u212b", "\u2126", "\ufb01", "\uf900", "\u0958", "\u0344",
    "\U0001d15e", "👨‍👩‍👧", "🇫🇷", "👍🏽", "中文", "日本語の", "한국어", "हिन्दी", "العربية", "ไทย", "１２", "٣", "Ⅷ", "½",
    "the", " of", " and", "The", "ing", "123", "3.14", "...", "!?", " (", ")", "=", " = = ", "@-@", "<unk>",
]  # fmt: skip


def scalars_by_category() -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for value in range(0x110000):
        if not 0xD800 <= value < 0xE000:
            groups.setdefault(unicodedata.category(chr(value)), []).append(chr(value))
    return list(groups.values())


def random_text(generator: random.Random, groups: list[list[str]], marks: list[str]) -> str:
    parts = []
    for _ in range(generator.randint(1, 24)):
        kind = generator.random()
        if kind < 0.25:
            parts.append(generator.choice(generator.choice(groups)))
        elif kind < 0.6:
            parts.append(generator.choice(PIECES))
        elif kind < 0.7:
            parts.append(chr(generator.randrange(0x20, 0x7F)))
        elif kind < 0.76:
            parts.append(generator.choice("aeouAE가ᄀαи\u0915") + "".join(generator.choices(marks, k=generator.randint(1, 4))))
        elif kind < 0.8:
            parts.append(generator.choice(SPECIAL))
        elif kind < 0.9:
            parts.append("".join(generator.choices("abcdefghijklmnopqrstuvwxyz", k=generator.randint(1, 12))))
        elif kind < 0.92:
            parts.append(generator.choice(PIECES) * generator.randint(2, 40))
        else:
            value = generator.randrange(0x110000 - 0x800)
            parts.append(chr(value if value < 0xD800 else value + 0x800))
    return "".join(parts)


def exhaustive_texts() -> list[str]:
    texts = []
    for start in range(0, 0x110000, 64):
        block = [chr(v) for v in range(start, start + 64) if not 0xD800 <= v < 0xE000]
        texts.append("\n\n".join(block))
        texts.append("".join(f"a{c}b {c}1{c}'s " for c in block))
        texts.append("".join(f"e\u0345{c}\u0301\u0323 x" for c in block))
        texts.append("".join(f"'{c}a" for c in block))
    return texts


def with_all_pairs(description: dict) -> dict:
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    pairs = [(a, b) for a in alphabet for b in alphabet]
    tokens = alphabet + [a + b for a, b in pairs]
    # In an order that has nothing to do with the alphabet's, but is always the same.
    random.Random(0).shuffle(pairs)
    model = description["model"] | {
        "vocab": {token: id for id, token in enumerate(tokens)},
        "merges": [[a, b] for a, b in pairs],
    }
    return description | {"model": model, "added_tokens": []}


def print_hash(tokenizer: tokenizers.Tokenizer, path: Path) -> None:
    import xxhash

    lines = path.read_bytes().decode().split("\n")
    lines = [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    encodings = [tokenizer.encode(line, add_special_tokens=False).ids for line in lines]
    numbers = array.array("i", [number for ids in encodings for number in [len(ids), *ids]])
    assert sys.byteorder == "little" and numbers.itemsize == 4
    print(path.name, len(lines), sum(map(len, encodings)), xxhash.xxh64(numbers.tobytes()).hexdigest())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", type=Path, required=True, help="a folder with tokenizer.json")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--exhaustive", action="store_true")
    parser.add_argument("--all-pairs", action="store_true")
    parser.add_argument("--lines", type=Path, action="append")
    options = parser.parse_args()
    tokenizer = tokenizers.Tokenizer.from_file(str(options.tokenizer / "tokenizer.json"))
    for path in options.lines or []:
        print_hash(tokenizer, path)
    if options.lines:
        return 0

    generator = random.Random(options.seed)
    groups = scalars_by_category()
    marks = [chr(v) for v in range(0x110000) if unicodedata.combining(chr(v))]
    texts = [random_text(generator, groups, marks) for _ in range(options.count)]
    if options.exhaustive:
        texts += exhaustive_texts()
    with tempfile.TemporaryDirectory() as folder:
        used = options.tokenizer.resolve()
        if options.all_pairs:
            description = json.loads((used / "tokenizer.json").read_text(encoding="utf-8"))
            used = Path(folder)
            (used / "tokenizer.json").write_text(json.dumps(with_all_pairs(description)), encoding="utf-8")
            tokenizer = tokenizers.Tokenizer.from_file(str(used / "tokenizer.json"))
        cases = [{"text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in texts]
        path = Path(folder) / "cases.json"
        path.write_text(json.dumps(cases, ensure_ascii=False), encoding="utf-8")
        print(f"{len(cases)} texts, {sum(len(case['ids']) for case in cases)} tokens, seed {options.seed}", flush=True)
        environment = os.environ | {
            "TOKENIZATION_CASES": str(path),
            "TOKENIZATION_TOKENIZER": str(used),
        }
        command = ["swift", "test", "-c", "release", "--disable-testable-imports", "--filter", "matchesRecordedCases"]
        return subprocess.run(command, cwd=REPOSITORY, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
