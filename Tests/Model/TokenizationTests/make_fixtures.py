#!/usr/bin/env python3
"""Make the fixtures of the tokenization tests: a small tokenizer in all its spellings, and texts with their ids.

    pip install tokenizers==0.23.3 transformers==5.23.0
    Tests/Model/TokenizationTests/make_fixtures.py

Trains a byte-level BPE of Qwen2's scheme on the sentences below (the same file comes out every time), saves it with
merges as pairs (strings/, pairs/, and split/ for vocab.json + merges.txt), and records what Hugging Face tokenizers
make of the texts. Variants of its settings (variants.json) go through the same texts. folders.json has folders of a
tokenizer with all kinds of files in them, and what transformers' AutoTokenizer makes of other texts with each.
families.json has the pipelines of the families whose tokenizers are read, as they are published, each with a small
vocabulary of its kind; and what Hugging Face tokenizers and AutoTokenizer make of texts and ids with each.
expressions.json has regular expressions and what the texts are split into by them.
"""

import json
import os
import random
import shutil
import tempfile
import unicodedata
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}

from transformers import AutoTokenizer
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

FIXTURES = Path(__file__).resolve().parent / "Fixtures"
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

TRAINING = [
    "The lighthouse keeper counted forty ships before the fog came in, and none after it.",
    "She's sure they'll say that we've seen what I'm told he'd hidden; it isn't so, and you're wrong.",
    "A river does not hurry, and yet everything that falls into the river arrives at the sea.",
    "In 1873 the village had 212 houses, three mills and a school; by 1901 only the school was left.",
    "Café, naïve, façade, über, señor, Ångström: words that travelled and kept their accents.",
    "def area(width, height):\n    return width * height  # in metres\n",
    "東京は夜でも明るい。北京的冬天很冷。서울의 봄은 짧다.",
    "Привет, мир! Река течёт медленно. Ελληνικά γράμματα. हिन्दी में लिखा हुआ वाक्य।",
    "👩‍🚀 👨‍👩‍👧‍👦 🇯🇵 🇧🇷 👍🏽 and a plain ☺ beside them.",
    " = Heading = \n\n = = Second heading = = \n The text goes on @-@ and on @,@ as it does . \n",
    "the the the of of and and in in to to that that was was with with for for as as on on at at by by",
] * 3

ADDED = [
    AddedToken("<|endoftext|>", special=True, normalized=False),
    AddedToken("<|start|>", special=True, normalized=False),
    AddedToken("<|start|>er", special=False, normalized=False),
    AddedToken("<word>", special=False, normalized=False, single_word=True),
    AddedToken("<left>", special=False, normalized=False, lstrip=True),
    AddedToken("<right>", special=False, normalized=False, rstrip=True),
    AddedToken("<both>", special=True, normalized=False, lstrip=True, rstrip=True),
    AddedToken("caf\u00e9bar", special=False, normalized=True),
    AddedToken("<e\u0301>", special=False, normalized=False),
    AddedToken("u\u0308bung", special=False, normalized=True),
]

TEXTS = [
    "", " ", "  ", "   ", "a", " a", "  a", "a ", "a  ", "\n", "\n\n", "\r\n", "\r", " \n", "\n ", "\t", "\t\t", "\t\n\t",
    "The lighthouse keeper counted ships.", "the river arrives at the sea\n", " = Heading = \n",
    # Contractions, in all cases; U+017F is an s, U+212A (kelvin) is no letter of any of them.
    "it's IT'S it'S isn't ISN'T we're WE'RE wE'rE we've WE'VE I'm I'M you'll YOU'LL yoU'lL he'd HE'D",
    "'s's't'T're'RE've'm'll'd", "'sam 'tom 'return 'very 'mike 'llama 'dog", "''s ' s 'x ’s 'ſ 'ſo 'K 'L 'Ll 'r 'v",
    "x'sam y'Sam z'ſam 1'tom 2'Tom a'return b'Red c'very d'VEx e'mike f'Mike g'llama h'LLx i'dog j'Dog é'ſo k'lx l'rx",
    "it's\n'", "'", "''", " '", " 's", "1's", "\u00e9's",
    # Numbers stand alone, of every script and kind.
    "1234567890", "3.14159, 1e-9", "٠١٢٣ ०१२३ 一二三 ①②③ ⅫⅫ ½¼ ²³ 𝟘𝟙 ᠐᠑", "a1b2 c3 4d", "\u0661\u0662a",
    # White space of all kinds, in runs; the last one of a run goes to the next word.
    "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u0085g", "a  \u00a0 b", "x\n\n\ny", "x \n \n y", "x\n  \n  y  ", "x\r\n\r\ny\r\rz",
    "end of line  \n", "a\t!b c\u00a0?d e\u3000.f g !h",
    "tab\tbetween\t\ttwo", "   \n   \n", " " * 100 + "x", "\n" * 50, " \t" * 30 + "\n" + " " * 7,
    "no break\u200bspace \u2060joiner \ufeffmark", "\x1c\x1d\x1e\x1f fs gs rs us", "\x0b\x0c vt ff",
    # Control characters, NUL among them.
    "\x00", "a\x00b", "\x00\x01\x02 \x7f\x80\x9f", "bell\x07 esc\x1b[0m", " \x00 ", "\n\x00\n",
    # Punctuation.
    "!!!\n\n???", " ...\n", "a,b;c", "(a)[b]{c}", "--- x --- y", "$1,000.00 @-@ @,@ <unk>", "\u00bf\u00a1\u2026 “quoted” ‘so’",
    "http://example.org/?a=1&b=2#c", "x=y+z; // comment\r\n", "* * *\n", " \u00b7\u00b7\u00b7 ",
    # NFC: decomposed accents, several marks in and out of order, marks that block, singletons, exclusions.
    "cafe\u0301 nai\u0308ve fac\u0327ade u\u0308ber sen\u0303or A\u030angstro\u0308m", "e\u0323\u0301 e\u0301\u0323 \u00e9\u0323 \u1eb9\u0301",
    "o\u0302\u0301 \u01a1\u0323 u\u031b\u0323\u0301", "a\u0301\u0301\u0301", "\u0301", "\u0301a", " \u0301", "\n\u0301", "1\u0301 '\u0301s",
    "q\u0307\u0323 q\u0323\u0307", "\u1e9b\u0323", "d\u0307\u0323 \u1e0b\u0323 \u1e0d\u0307", "a\u0345\u0300\u0300\u0345",
    "\u212b \u2126 \u212a \u00c5 \u03a9", "\u0340\u0341\u0343\u0344", "\u0958 \u095f \u0929 \u0928\u093c \u09c7\u09be", "\uf900\ufa0e \U0002f800 \ufb1d",
    "\ufb01 \uff21 \u2460 \u3392 \u00aa \u01c4", "\u2adc \U0001d15e \U0001d1bb", "\u0f73\u0f75\u0f81 \u0fb2\u0f81 e\u0345\u0f73\u0301\u0323",
    # Marks and letters that came after Unicode 9 and after Unicode 16.
    "a\u1df6\u0323 e\u1abf\u0301 a\u08d3\u0301", "\U00011935\U00011930 \U000105d2\u0307", "\u088f \ua7cf \U000323b0 \U00016ff4", "a\u088fb a\U000323b0b 1\U00016ff42 x\U00016ff4y",
    # Hangul: jamo, syllables, a syllable and a final, old jamo that do not compose.
    "\u1112\u1161\u11ab\u1100\u1173\u11af", "\uac00\u11a8 \uac01\u11a8 \u1100\u1161 \u1100 \u1161 \u11a8", "한글 漢字 \u115f\u1160 \ua960\ud7b0",
    # Scripts.
    "東京は夜でも明るい。", "北京的冬天很冷，但是我喜欢。", "서울의 봄은 짧다.", "Привет, мир!", "हिन्दी में लिखा हुआ वाक्य।", "العَرَبِيَّة ١٢٣", "עִבְרִית",
    "ไทยภาษาไทย", "ქართული", "ελληνικά ΓΡΆΜΜΑΤΑ", "Tiê\u0301ng Viê\u0323t", "𝓜𝓪𝓽𝓱 𝔡𝕠𝖚𝗯𝘭𝙚", "ǅ ʰ ª ـ ー々〆〇", "𐍈 𒀀 𓀀 𖿠 𠀀",
    # Emoji: joined by ZWJ, skin tones, flags, keycaps, variation selectors, tags.
    "👩‍🚀", "👨‍👩‍👧‍👦!", "🇯🇵🇧🇷🇺", "👍👍🏽👍🏿", "1️⃣ #️⃣ ☺️ ☺︎", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "a👍b 👍 c", "\u200d\u200d", "❤️‍🔥\n",
    # Added tokens: alone, inside words, doubled, cut short, longest first, stripping, single words, normalized.
    "<|endoftext|>", "a<|endoftext|>b", "a <|endoftext|> b", "<|endoftext|><|endoftext|>\n", "<|endoftext|", "<|<|endoftext|>|>",
    "<|start|> <|start|>er <|start|>e", "x<word>y x <word> y <word>", "<word>é é<word> _<word> -<word>- \u0301<word> 1<word>", "a  <left>  b <left><left>",
    "a  <right>  b\n<right>\n\n<right>", "a \n <both> \u3000 b", " <both> <left> <right> <both> ", "caf\u00e9bar cafe\u0301bar cafebar xcaf\u00e9bary",
    "\u00fcbung u\u0308bung ubung x\u00fcbungen", "caf\u00e9bar\u0301 cafe\u0301bar\u0301",
    "e\u0301<|endoftext|>\u0301e", "<e\u0301> <\u00e9>", "caf<|endoftext|>\u00e9bar", "e<|start|>\u0301", "\u0301<|start|>er", " <|start|> 's",
    # Long words.
    "antidisestablishmentarianism" * 20, "ab" * 500, "東" * 300, "é" * 200, "e\u0301" * 200, "1" * 100, "!" * 300, "a\u0301\u0323" * 100,
    "Supercalifragilistic\u0301expiali\u0308docious" * 10, "mixed東京12é\u0301👍 " * 40,
    "\ufffd \ufffe \uffff \U0010ffff \ue000 \U000f0000", "\ud7ff\ue000", "\u0080\u07ff\u0800\uffff\U00010000",
]  # fmt: skip


def trained() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator(TRAINING, trainer)
    tokenizer.add_tokens(ADDED)
    return tokenizer


def splitmix64(seed: int):
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        value = state
        value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        value = (value ^ value >> 27) * 0x94D049BB133111EB % 2**64
        yield value ^ value >> 31


def shuffled(total: int, seed: int) -> list[int]:
    """The order that wt-tokenize --shuffle gives `total` candidate lines."""
    bits = splitmix64(seed)
    numbers = list(range(total))
    for place in range(total):
        span = total - place
        value = next(value for value in bits if value < 2**64 - 2**64 % span)
        other = place + value % span
        numbers[place], numbers[other] = numbers[other], numbers[place]
    return numbers


def crossing(description: dict, reverse: bool) -> dict:
    """The same tokenizer with a merge for every two bytes that follow each other in the texts.

    Merges learned with the split expression never cross the end of a word, and so hide most mistakes in where a word
    ends. A boundary can hide behind a merge beside it that goes first: not in both orders.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    spelling = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pairs = set()
    for text in TEXTS:
        for form in (text, unicodedata.normalize("NFC", text)):
            spelled = "".join(part for part, _ in spelling.pre_tokenize_str(form))
            pairs.update(zip(spelled, spelled[1:]))
    merges = sorted(pairs)
    random.Random(0).shuffle(merges)
    if reverse:
        merges.reverse()
    tokens = alphabet + [a + b for a, b in sorted(pairs)]
    model = description["model"] | {
        "vocab": {token: id for id, token in enumerate(tokens)},
        "merges": [list(pair) for pair in merges],
    }
    return description | {"model": model, "added_tokens": []}


FOLDER_TEXTS = [
    "The river <|endoftext|> arrives <|new|> at <|next|> the sea<image>.\n",
    "<|endoftext|><|start|><|start|>er cafe\u0301 e\u0323\u0301 <pad>  <|new|>  \u00e9<|next|>\u0301",
    "the b <left> <right>  a \t<word> <e\u0301> <both> u\u0308bung <bos><eos> mills",
    "<bos>",
    "sea",
]  # fmt: skip
LEFT_AND_RIGHT = {"lstrip": True, "rstrip": True}
TEMPLATE = {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<bos>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
    "special_tokens": {"<bos>": {"id": "<bos>", "ids": [600], "tokens": ["<bos>"]}},
}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}


def added(id: int, content: str, **flags: bool) -> dict:
    names = ["single_word", "lstrip", "rstrip", "normalized", "special"]
    return {"id": id, "content": content} | {name: False for name in names} | flags


def named(content: str, **flags: bool) -> dict:
    return {key: value for key, value in added(0, content, **flags).items() if key != "id"}


def folders(description: dict) -> list[dict]:
    """Folders by the tokenizer.json that they are made from, or vocab.json and merges.txt; members of tokenizer.json
    that differ; and other files."""
    model, tokens = description["model"], description["added_tokens"]
    new, following = added(610, "<|new|>", special=True), added(611, "<|next|>")
    bos, eos = [{"SpecialToken": {"id": name, "type_id": 0}} for name in ("<bos>", "<eos>")]
    text = {"Sequence": {"id": "A", "type_id": 0}}
    both = TEMPLATE | {
        "single": [bos, text, eos],
        "special_tokens": {
            name: {"id": name, "ids": ids, "tokens": [name] * len(ids)} for name, ids in (("<bos>", [600]), ("<eos>", [5, 6]))
        },
    }
    qwen, plain = {"tokenizer_class": "Qwen2Tokenizer"}, {"tokenizer_class": "PreTrainedTokenizerFast"}
    decoder = {str(token["id"]): named(**{k: v for k, v in token.items() if k != "id"}) for token in tokens}
    direction = {"max_length": 3, "strategy": "LongestFirst", "stride": 0, "direction": "Left"}
    padding = {
        "strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>",
    }  # fmt: skip
    special = {"__type": "AddedToken"} | named("<|new|>", normalized=True, **LEFT_AND_RIGHT)
    older = {
        "added_tokens.json": {"<|new|>": 601, "<|next|>": 602, "<|endoftext|>": 600},
        "special_tokens_map.json": {"eos_token": named("<|new|>"), "additional_special_tokens": ["<|next|>", "<bos>"]},
    }
    cases = [
        # vocab.json and merges.txt.
        ("vocabulary of the class", None, {}, qwen, {}),
        ("vocabulary of the model", None, {}, None, {"config.json": {"model_type": "qwen2"}}),
        ("vocabulary of the model, another class", None, {}, {"tokenizer_class": "GPT2Tokenizer"}, {"config.json": {"model_type": "qwen2"}}),
        ("vocabulary of another model of the class", None, {}, None, {"config.json": {"model_type": "qwen3"}}),
        ("vocabulary and older files", None, {}, qwen, older),
        ("vocabulary and added_tokens.json", None, {}, qwen, {"added_tokens.json": older["added_tokens.json"]}),
        ("vocabulary and added_tokens.json, EOS that is no string", None, {}, qwen | {"eos_token": special}, {"added_tokens.json": {"<|new|>": 601, "n": 602}, "special_tokens_map.json": {"bos_token": named("n", normalized=True)}}),
        ("tokenizer.json and added_tokens.json, extra tokens that are no strings", "strings", {}, plain | {"extra_special_tokens": [{"__type": "AddedToken"} | named("n", special=True)]}, {"added_tokens.json": {"n": 601}}),
        ("plain tokens of one id in added_tokens.json", "strings", {}, plain | {"eos_token": special}, {"added_tokens.json": {"<|new|>": 601, "<|next|>": 611, "<bos>": 611}, "special_tokens_map.json": {"bos_token": named("<|next|>", **LEFT_AND_RIGHT)}}),
        ("vocabulary, older files do not count", None, {}, qwen | {"added_tokens_decoder": decoder}, older),
        ("vocabulary, BOS", None, {}, qwen | {"add_bos_token": True, "bos_token": "<bos>"}, {}),
        ("vocabulary, BOS without a token", None, {}, qwen | {"add_bos_token": True}, {}),
        ("vocabulary, EOS", None, {}, qwen | {"add_eos_token": True}, {}),
        ("vocabulary, BOS and EOS", None, {}, qwen | {"add_bos_token": True, "bos_token": "<bos>", "add_eos_token": True, "eos_token": "<eos>"}, {}),
        ("vocabulary, no special tokens", None, {}, qwen | {"eos_token": None, "unk_token": None, "pad_token": None}, {}),
        # Added tokens of tokenizer.json.
        *[
            (f"{name}, {kind}", "strings", {"added_tokens": changed}, configuration, {})
            for kind, configuration in (("class", qwen), ("plain", plain), ("alone", {}))
            for name, changed in (
                ("added", [*tokens, new, following]),
                ("gap", [*tokens, new | {"id": 630}, following | {"id": 640}]),
                ("unordered", [*tokens, following, new]),
                ("reversed", tokens[::-1]),
                ("twice", [*tokens, new, new]),
                ("twice with other flags", [*tokens, new, new | LEFT_AND_RIGHT | {"special": False}]),
                ("twice with other ids", [*tokens, new, new | {"id": 611, "normalized": True}, following | {"id": 612}]),
                ("of the vocabulary", [*tokens, added(610, "b"), added(3, "the", special=True)]),
            )
        ],
        # Tokens of tokenizer_config.json.
        *[
            (f"{name}, {kind}", "strings", {}, configuration | entries, {})
            for kind, configuration in (("class", qwen), ("plain", plain))
            for name, entries in (
                ("added_tokens_decoder", {"added_tokens_decoder": {"610": named("<|new|>", special=True), "611": named("<|next|>")}}),
                ("added_tokens_decoder with other flags", {"added_tokens_decoder": {"600": named("<|endoftext|>", special=True, **LEFT_AND_RIGHT)}}),
                ("added_tokens_decoder, empty", {"added_tokens_decoder": {}}),
                ("extra_special_tokens", {"extra_special_tokens": ["<|new|>", special | named("<|next|>", **LEFT_AND_RIGHT)]}),
                ("extra_special_tokens by name", {"extra_special_tokens": {"new_token": "<|new|>", "image_token": "<image>"}}),
                ("additional_special_tokens", {"additional_special_tokens": ["<|next|>", "<|new|>"]}),
                ("both lists", {"extra_special_tokens": ["<|new|>"], "additional_special_tokens": ["<|next|>"]}),
                ("names of their own", {"image_token": "<image>", "next_token": {"__type": "AddedToken"} | named("<|next|>", rstrip=True), "eos_token": "<|new|>"}),
                ("an EOS that strips", {"eos_token": special}),
                ("BOS is not added", {"add_bos_token": True, "bos_token": "<bos>"}),
                ("split_special_tokens", {"split_special_tokens": True, "bos_token": "<bos>"}),
                ("truncation_side", {"truncation_side": "left"}),
            )
        ],
        ("tokenizer.json and older files", "strings", {}, qwen, older),
        # The class has its own model and normalizer.
        *[
            (f"{name}, {kind}", "strings", members, configuration, {})
            for kind, configuration in (("class", qwen), ("plain", plain))
            for name, members in (
                ("no normalizer", {"normalizer": None}),
                ("ignore_merges", {"model": model | {"ignore_merges": True, "merges": model["merges"][:40]}}),
                ("BOS", {"post_processor": TEMPLATE}),
                ("BOS, EOS and EOS", {"post_processor": both}),
                ("BOS in a sequence", {"post_processor": {"type": "Sequence", "processors": [BYTE_LEVEL, TEMPLATE]}}),
                ("a template that adds nothing", {"post_processor": {"type": "Sequence", "processors": [TEMPLATE | {"single": [text]}, both, BYTE_LEVEL]}}),
                ("RobertaProcessing", {"post_processor": {"type": "RobertaProcessing", "cls": ["<bos>", 7], "sep": ["<eos>", 8], "trim_offsets": True, "add_prefix_space": False}}),
                ("truncation and padding saved", {"truncation": direction, "padding": padding}),
            )
        ],
        ("BOS and EOS, truncation_side", "strings", {"post_processor": both}, plain | {"truncation_side": "left"}, {}),
        ("the side of the configuration counts", "strings", {"truncation": direction}, plain | {"truncation_side": "right"}, {}),
    ]  # fmt: skip
    return [
        {"name": name, "base": base, "members": members, "files": files | ({} if configuration is None else {"tokenizer_config.json": configuration})}
        for name, base, members, configuration, files in cases
    ]  # fmt: skip



# What the families' files say, as transformers' converters and the published files have it.
MARK = "▁"
TEKKEN_SPLIT = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPLIT = QWEN2_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
DEEPSEEK_SPLITS = [
    r"\p{N}{1,3}",
    r"[一-龥぀-ゟ゠-ヿ]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
]
DEEPSEEK_LLM_SPLITS = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+"]


def split(expression: str, behavior: str = "Isolated", invert: bool = False) -> dict:
    return {"type": "Split", "pattern": {"Regex": expression}, "behavior": behavior, "invert": invert}


def sequence(key: str, *parts: dict) -> dict:
    return {"type": "Sequence", key: list(parts)}


def byte_level(use_regex: bool, add_prefix_space: bool = False) -> dict:
    return BYTE_LEVEL | {"use_regex": use_regex, "add_prefix_space": add_prefix_space, "trim_offsets": True}


def template(content: str, id: int) -> dict:
    return json.loads(json.dumps(TEMPLATE).replace("<bos>", content).replace("600", str(id)))


REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": MARK}
PREPEND = {"type": "Prepend", "prepend": MARK}
SPACE = {"type": "Replace", "pattern": {"String": MARK}, "content": " "}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
FALLBACK, FUSE = {"type": "ByteFallback"}, {"type": "Fuse"}
BYTES = byte_level(True)


def metaspace(scheme: str, **more: object) -> dict:
    return {"type": "Metaspace", "replacement": MARK, "prepend_scheme": scheme, "split": True} | more


FAMILY_TEXTS = [text for text in TEXTS if len(text) <= 36][::4] + [
    "The lighthouse keeper counted 12345 ships.", " two  spaces, three   and\ttabs \n\n\n", "x=y+z; // comment\r\n",
    "it's IT'S we'll WE'LL 'sam ''s 'ſo", "1234567890 ٠١٢٣ ①②③ 𝟘𝟙", "<s>a</s> <s> b<unk>c <0x41> ▁ ▁▁a", "<|endoftext|>a  <|endoftext|> b",
    "<bos>x<eos> <pad><mask> \n\n\n\n<table></table> <unused1>", "東京は夜でも明るい。 北京的冬天很冷", "한글 हिन्दी العَرَبِيَّة ไทย", "👩‍🚀 a👍🏽b 🇯🇵",
    "cafe\u0301 \u00e9 \u1eb9\u0301 ǅ ʰ ª CamelCase HTTPServer iPhone ÉCOLE", "a/b//c \\ [x] ^_`{|}~ #!", "\ufffd\u2028\u0085\u180e\u00a0x", "mixed東京12é👍 " * 3,
]  # fmt: skip


def character_bases() -> dict[str, dict]:
    """Character-level BPEs with byte tokens: one that merges within words, and one that merges across them, too."""
    special = ["<unk>", "<s>", "</s>", "<pad>", "<eos>", "<bos>", "<mask>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=MARK, prepend_scheme="always", split=True)
    tokenizer.train_from_iterator(TRAINING, trainers.BpeTrainer(vocab_size=700, special_tokens=special, show_progress=False))
    trained = json.loads(tokenizer.to_str())
    model = trained["model"]
    pieces = [token for token in model["vocab"] if token not in special]
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    crossing = [[a, b] for a, b in (("s", MARK), (".", MARK), (MARK, MARK), (MARK + MARK, MARK), ("<0xE2>", "<0x80>"))]
    bases = {}
    for name, merges in (("characters", model["merges"] + [[MARK, MARK]]), ("crossing", crossing + model["merges"])):
        tokens = special + fallback + pieces
        tokens += [token for token in dict.fromkeys("".join(pair) for pair in merges) if token not in tokens]
        bases[name] = trained | {
            "pre_tokenizer": None,
            "added_tokens": [],
            "model": model | {"vocab": {token: id for id, token in enumerate(tokens)}, "merges": merges},
        }
    return bases


def families(bases: dict[str, dict]) -> list[dict]:
    """Tokenizers by the base whose vocabulary they have, the members of tokenizer.json that differ, and other files."""

    def specials(base: str, *contents: str, **flags: bool) -> list[dict]:
        vocab = bases[base]["model"]["vocab"]
        return [added(vocab.get(c, len(vocab) + i), c, special=True, **flags) for i, c in enumerate(contents)]

    def model(base: str, **changes: object) -> dict:
        return bases[base]["model"] | changes

    def files(model_type: str | None, **configuration: object) -> dict:
        found = {"config.json": {"model_type": model_type}} if model_type else {}
        return found | ({"tokenizer_config.json": configuration} if configuration else {})

    end = added(0, "<|endoftext|>", special=True, normalized=True)
    size = len(bases["bytes"]["model"]["vocab"])
    ends = [end | {"id": size}]
    count = len(bases["characters"]["model"]["vocab"])
    runs = [added(size + 2 + i, " " * n, normalized=True) for i, n in enumerate((4, 3, 2))]
    spm = [token for base in ("characters",) for token in specials(base, "<unk>", "<s>", "</s>")]
    gemma_tokens = specials("characters", "<pad>", "<eos>", "<bos>", "<unk>", "<mask>") + [
        added(count + i, content)
        for i, content in enumerate(("\n\n", "\n\n\n", MARK * 2, MARK * 3, "<table>", "</table>", *(f"<unused{n}>" for n in range(20))))
    ]
    llama2 = {
        "normalizer": sequence("normalizers", PREPEND, REPLACE),
        "decoder": sequence("decoders", SPACE, FALLBACK, FUSE, STRIP),
        "post_processor": template("<s>", 1),
        "added_tokens": spm,
    }
    gemma = {
        "normalizer": REPLACE,
        "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False},
        "decoder": sequence("decoders", SPACE, FALLBACK, FUSE),
        "post_processor": template("<bos>", 5),
        "added_tokens": gemma_tokens,
    }
    digits = {"type": "Digits", "individual_digits": True}
    splits = lambda *expressions: sequence("pretokenizers", *map(split, expressions), byte_level(False))
    bytes_members = {"pre_tokenizer": BYTES, "post_processor": BYTES, "decoder": BYTES, "normalizer": None, "added_tokens": ends}
    bos = specials("bytes", "<|begin_of_text|>", "<|end_of_text|>")
    llama3 = bytes_members | {
        "pre_tokenizer": splits(LLAMA3_SPLIT),
        "post_processor": sequence("processors", byte_level(True), template("<|begin_of_text|>", size)),
        "added_tokens": bos,
        "model": model("bytes", ignore_merges=True),
    }
    legacy = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    fast = {"tokenizer_class": "PreTrainedTokenizerFast"}
    smollm = bytes_members | {"pre_tokenizer": sequence("pretokenizers", digits, byte_level(True))}
    missing = {token: id for token, id in model("characters")["vocab"].items() if token not in ("<0xE6>", "<0xF0>", "a", "é", "e", MARK + "a")}
    kept = [pair for pair in model("characters")["merges"] if all(part in missing for part in [*pair, "".join(pair)])]
    unknown = lambda **changes: model("characters", vocab=missing, merges=kept, **changes)
    trained = bases["words"]["model"]
    alphabet = {token: id for token, id in trained["vocab"].items() if not set(token) & set("Ããġ")}
    bytes_missing = trained | {"vocab": alphabet, "merges": [p for p in trained["merges"] if all(t in alphabet for t in [*p, "".join(p)])]}
    cases = [
        ("gpt2", "bytes", bytes_members, files("gpt2")),
        ("gpt2 with a prefix space", "bytes", bytes_members, files("gpt2", add_prefix_space=True)),
        ("a prefix space by the file", "bytes", bytes_members | {"pre_tokenizer": byte_level(True, True), "added_tokens": [end | {"id": size, "normalized": False}]}, {}),
        ("a prefix space before each part", "bytes", bytes_members | {"pre_tokenizer": sequence("pretokenizers", split("[,.]", "MergedWithPrevious"), byte_level(True, True))}, {}),
        ("gpt_neox", "bytes", bytes_members | {"normalizer": {"type": "NFC"}, "added_tokens": [*ends, added(size + 1, "<|padding|>", special=True), *runs]}, files("gpt_neox", tokenizer_class="GPTNeoXTokenizer", bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>")),
        ("gpt_neox, a post-processor that does not count", "bytes", bytes_members | {"post_processor": template("<|endoftext|>", size)}, files("gpt_neox")),
        ("llama 3", "bytes", llama3, files("llama", **fast, bos_token="<|begin_of_text|>", eos_token="<|end_of_text|>")),
        ("deepseek r1 distill llama", "bytes", llama3, files("llama", tokenizer_class="LlamaTokenizerFast", bos_token={"__type": "AddedToken"} | named("<|begin_of_text|>", normalized=True), legacy=True, add_bos_token=True)),
        ("deepseek r1 distill qwen", "bytes", llama3 | {"pre_tokenizer": splits(QWEN2_SPLIT), "normalizer": {"type": "NFC"}}, files("qwen2", tokenizer_class="LlamaTokenizerFast", bos_token="<|begin_of_text|>", add_bos_token=True)),
        ("qwen3", "bytes", llama3 | {"pre_tokenizer": splits(QWEN2_SPLIT), "normalizer": {"type": "NFC"}, "post_processor": byte_level(False)}, files("qwen3", tokenizer_class="Qwen2Tokenizer", add_prefix_space=False)),
        ("qwen3 with a prefix space", "bytes", llama3, files("qwen3", tokenizer_class="Qwen2Tokenizer", add_prefix_space=True)),
        ("smollm2", "bytes", smollm, files("llama", tokenizer_class="GPT2Tokenizer", bos_token="<|endoftext|>", add_prefix_space=False)),
        ("mistral of bytes", "bytes", llama3 | {"pre_tokenizer": splits(TEKKEN_SPLIT)}, files("mistral", **fast)),
        ("deepseek of today", "bytes", llama3 | {"pre_tokenizer": splits(*DEEPSEEK_SPLITS), "model": model("bytes")}, files("llama", **fast)),
        ("deepseek llm", "bytes", llama3 | {"pre_tokenizer": sequence("pretokenizers", *map(split, DEEPSEEK_LLM_SPLITS), digits, byte_level(False))}, files("llama", **fast)),
        ("runs of digits", "bytes", bytes_members | {"pre_tokenizer": sequence("pretokenizers", {"type": "Digits", "individual_digits": False}, byte_level(False))}, {}),
        ("bytes without a token, unknown", "words", bytes_members | {"model": bytes_missing | {"unk_token": "!"}}, {}),
        ("bytes without a token, unknown and fused", "words", bytes_members | {"model": bytes_missing | {"unk_token": "!", "fuse_unk": True}}, {}),
        ("llama 2", "characters", llama2, files("llama", **legacy, legacy=False)),
        ("llama 2, legacy", "characters", llama2, files("llama", **legacy, legacy=True)),
        ("llama 2, no prefix space", "characters", llama2, files("llama", **legacy, add_prefix_space=False)),
        ("llama 2, of no class", "characters", llama2, files("llama")),
        ("llama 2, merges across words", "crossing", llama2, files("llama", **legacy)),
        ("llama 2, normalized tokens", "characters", llama2 | {"added_tokens": [t | {"normalized": True} for t in spm]}, files("llama", **fast)),
        ("llama 2, tokens that strip", "characters", llama2 | {"added_tokens": [t | {"lstrip": True, "rstrip": True} for t in spm]}, files("llama", **fast)),
        ("mistral", "characters", llama2, files("mistral", **legacy)),
        ("mistral, as newer files have it", "characters", llama2 | {"normalizer": None, "pre_tokenizer": metaspace("first", split=False)}, files("mistral", **legacy)),
        ("yi", "characters", llama2 | {"normalizer": sequence("normalizers", REPLACE), "decoder": sequence("decoders", SPACE, FALLBACK, FUSE), "post_processor": None}, files("llama", **legacy, add_prefix_space=False)),
        ("gemma", "characters", gemma, files("gemma", tokenizer_class="GemmaTokenizer", unk_token="<unk>")),
        ("gemma 2", "crossing", gemma, files("gemma2", tokenizer_class="GemmaTokenizer")),
        ("gemma 3", "characters", gemma, files("gemma3_text", tokenizer_class="GemmaTokenizerFast", pad_token=None)),
        ("gemma 3, the whole of it", "characters", gemma, files("gemma3")),
        ("gemma of no class", "crossing", gemma, {}),
        *[
            (f"metaspace {scheme}{', not split' if not divides else ''}", "crossing", llama2 | {"normalizer": None, "pre_tokenizer": metaspace(scheme, split=divides), "decoder": metaspace(scheme)}, {})
            for scheme in ("always", "first", "never")
            for divides in (True, False)
        ],
        ("metaspace behind another split", "crossing", llama2 | {"normalizer": None, "pre_tokenizer": sequence("pretokenizers", split("[a-c]", "MergedWithNext"), metaspace("first")), "decoder": sequence("decoders", {"type": "Metaspace", "replacement": MARK, "prepend_scheme": "never"}, FUSE)}, {}),
        ("unknown characters", "characters", llama2 | {"model": unknown()}, {}),
        ("unknown characters, each alone", "characters", llama2 | {"model": unknown(fuse_unk=False)}, {}),
        ("unknown characters without bytes", "characters", llama2 | {"model": unknown(byte_fallback=False)}, {}),
        ("unknown characters dropped", "characters", llama2 | {"model": unknown(unk_token=None)}, {}),
        ("whole words", "characters", llama2 | {"model": model("characters", ignore_merges=True, merges=model("characters")["merges"][:60]), "pre_tokenizer": metaspace("never"), "normalizer": PREPEND}, {}),
        ("expressions that replace", "characters", llama2 | {"normalizer": sequence("normalizers", {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": MARK}, {"type": "NFC"}), "decoder": sequence("decoders", {"type": "Replace", "pattern": {"Regex": "[aeiou]+"}, "content": "<>"}, {"type": "Strip", "content": ">", "start": 0, "stop": 1}, {"type": "Strip", "content": "s", "start": 2, "stop": 0})}, {}),
        ("no decoder", "characters", llama2 | {"decoder": None}, {}),
    ]  # fmt: skip
    return [{"name": name, "base": base, "members": members, "files": found} for name, base, members, found in cases]


def recorded_family(family: dict, bases: dict[str, dict]) -> dict:
    description = bases[family["base"]] | family["members"]
    alone = Tokenizer.from_str(json.dumps(description))
    with tempfile.TemporaryDirectory() as path:
        write(Path(path) / "tokenizer.json", description)
        for name, value in family["files"].items():
            write(Path(path) / name, value)
        tokenizer = AutoTokenizer.from_pretrained(path)
        ids = [tokenizer(text)["input_ids"] for text in FAMILY_TEXTS]
        generator = random.Random(family["name"])
        known = sorted(tokenizer.get_vocab().values())
        sequences = [generator.choices(known, k=generator.randint(1, 9)) for _ in range(12)]
        lengths = [len(i) for i in ids]
        # Parts of encoded texts, which begin and end within characters.
        sequences += [i[n % 3 : n % 3 + 5] for n, i in enumerate(ids) if lengths[n] > 6][:8]
        # A pre-tokenizer that is refused behind ByteLevel would be no use here.
        file = [alone.encode(text, add_special_tokens=True).ids for text in FAMILY_TEXTS]
        members = family["members"]
        if members.get("model"):
            base = bases[family["base"]]["model"]
            members = members | {"model": {k: v for k, v in members["model"].items() if base.get(k) != v or k == "type"}}
        return family | {
            "members": members,
            "ids": ids,
            # Only what the class makes otherwise.
            "file": None if file == ids else file,
            "decoded": [tokenizer.decode(i) for i in ids],
            "skipped": [tokenizer.decode(i, skip_special_tokens=True) for i in ids] if family["name"].endswith(("2", "3")) else None,
            "sequences": [{"ids": i, "text": tokenizer.decode(i), "skipped": tokenizer.decode(i, skip_special_tokens=True)} for i in sequences],
            "pads_left": tokenizer.padding_side == "left",
        }  # fmt: skip


EXPRESSIONS = [
    QWEN2_SPLIT, LLAMA3_SPLIT, GPT2_SPLIT, TEKKEN_SPLIT, *DEEPSEEK_SPLITS, *DEEPSEEK_LLM_SPLITS,
    # As OpenAI's own encodings have them, with possessive quantifiers and options in the middle.
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s+",
    # What Ruby's syntax has otherwise.
    r"^.|.$", r"(?m:a.+b)", r"a(?i)b|E", r"x(?i)s(?-i)S|t", r"\w+|\W", r"\bt|e\b", r"\Be", r"\h+", r"\H", r"[\w&&[^a-m]]+", r"[^\s\w]+", r"[^\S\n]+", r"[\d[a-c]]+",
    r"[a-z&&[^aeiou]&&[^t]]+", r"[[^a-z]&&\S]+", r"[\]\-\[^&]+", r"[]a]+", r"\x41|\x{e9}|\u00e9|\t|\v|\x20", r"a{,2}b?|t{2}?|s{1,2}+", r"e{|{|}|a{x", r"(?:ab|a)(?=b)|(?<=t)h|(?<!t)h|(?>th)e",
    r"\A.|\z|.\Z", r"(t)(h)|(?#nothing)s", r"", r"x*", r"\p{Letter}\p{^Lu}|\P{L}\P{^M}", r"\p{ Lowercase_Letter }+", r"[\P{L}]+", r"[^\p{L}\P{N}]+", r"\p{S}|\p{P}+|\p{Z}|\p{Cf}", r"[\p{Nd}\p{Nl}]|\p{No}", r"\R|\s", r".", r"\S+", r"\p{Any}\p{White_Space}", r"é|e\u0301", r"(?i)É|ǆ|ſ", r"[α-ω]+|[а-я]+", r"\(|\)|\.|\/|\:", r"a**|t+*|h?+", r"e+?|t??|i*?n", r"\e|\a|\f|\0?", r"--|\\-", r"[a\-c]|[--/]+|[+-]", r"[\n\r\t\x0b\\]+",
]  # fmt: skip
SETS = [
    r"\w", r"\s", r"\d", r"\p{L}", r"\p{Lu}", r"\p{Ll}", r"\p{Lt}", r"\p{Lm}", r"\p{Lo}", r"\p{M}", r"\p{Mn}", r"\p{Mc}", r"\p{N}", r"\p{Nd}", r"\p{Nl}",
    r"\p{No}", r"\p{P}", r"\p{Pc}", r"\p{Pd}", r"\p{Ps}", r"\p{Pe}", r"\p{Po}", r"\p{S}", r"\p{Sm}", r"\p{Sc}", r"\p{Sk}", r"\p{So}", r"\p{Z}", r"\p{Cc}", r"\p{Cf}", r"\p{Co}",
]  # fmt: skip


def recorded_set(expression: str) -> dict:
    """How many scalars match, and a hash of their numbers (FNV-1a, a step a number)."""
    splitter = pre_tokenizers.Split(Regex(expression), "removed")
    count, digest = 0, 0xCBF29CE484222325
    for start in range(0, 0x110000, 256):
        scalars = [chr(value) for value in range(start, start + 256) if not 0xD800 <= value < 0xE000]
        rest = set("".join(part for part, _ in splitter.pre_tokenize_str("".join(scalars))))
        for scalar in scalars:
            if scalar not in rest:
                count, digest = count + 1, (digest ^ ord(scalar)) * 0x100000001B3 % 2**64
    return {"expression": expression, "count": count, "hash": str(digest)}


BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


def recorded_splits() -> list[dict]:
    found = []
    for number, expression in enumerate(EXPRESSIONS):
        # All behaviours of a few.
        for behavior in BEHAVIORS if number % 6 == 1 else ["Isolated"]:
            for invert in (False, True) if number % 6 == 1 else (False,):
                description = split(expression, behavior, invert)
                try:
                    tokenizer = Tokenizer.from_str(json.dumps({"model": {"type": "BPE", "vocab": {}, "merges": []}, "pre_tokenizer": description}))
                except Exception:
                    # What Oniguruma itself refuses.
                    print("refused:", expression)
                    continue
                parts = [[part for part, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)] for text in FAMILY_TEXTS]
                found.append({"pre_tokenizer": description, "parts": parts})
    return found


def recorded_by_transformers(folder: dict, description: dict) -> dict:
    with tempfile.TemporaryDirectory() as path:
        root = Path(path)
        if folder["base"]:
            write(root / "tokenizer.json", description | folder["members"])
        else:
            for name in ("vocab.json", "merges.txt"):
                shutil.copy(FIXTURES / "split" / name, root)
        for name, value in folder["files"].items():
            write(root / name, value)
        tokenizer = AutoTokenizer.from_pretrained(path)
        calls = {
            "ids": {},
            "plain": {"add_special_tokens": False},
            "cut": {"truncation": True, "max_length": 6},
        }
        found = {key: [tokenizer(text, **options)["input_ids"] for text in FOLDER_TEXTS] for key, options in calls.items()}
        return folder | found | {"pads_left": tokenizer.padding_side == "left", "pad": tokenizer.pad_token_id}


def write(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


def ids(description: dict) -> list[list[int]]:
    tokenizer = Tokenizer.from_str(json.dumps(description))
    return [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]


def main() -> None:
    shutil.rmtree(FIXTURES, ignore_errors=True)
    description = json.loads(trained().to_str())
    model = description["model"]
    assert isinstance(model["merges"][0], list)
    recorded = ids(description)
    write(FIXTURES / "cases.json", [{"text": t, "ids": i} for t, i in zip(TEXTS, recorded, strict=True)])
    write(FIXTURES / "pairs" / "tokenizer.json", description)
    strings = [" ".join(pair) for pair in model["merges"]]
    write(FIXTURES / "strings" / "tokenizer.json", description | {"model": model | {"merges": strings}})

    split = FIXTURES / "split"
    write(split / "vocab.json", model["vocab"])
    (split / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{line}\n" for line in strings), encoding="utf-8")
    write(
        split / "tokenizer_config.json",
        {
            "added_tokens_decoder": {
                str(token["id"]): {key: value for key, value in token.items() if key != "id"}
                for token in description["added_tokens"]
            },
            "pad_token": "<|start|>",
            "tokenizer_class": "Qwen2Tokenizer",
        },
    )

    orders = [(60, 0), (60, 1), (60, 2**64 - 1), (1, 7)]
    write(FIXTURES / "shuffles.json", [{"seed": str(seed), "order": shuffled(total, seed)} for total, seed in orders])
    write(FIXTURES / "spaces.json", [value for value in range(0x3100) if chr(value).isspace()])

    # Settings that change the ids, as changes to the description, with the ids of the same texts.
    alphabet = {token: id for token, id in model["vocab"].items() if id not in (0, 5, 187, 200)}
    merges = [pair for pair in model["merges"] if all(part in alphabet for part in [*pair, "".join(pair)])]
    variants = {
        "no normalizer": description | {"normalizer": None},
        "no added tokens": description | {"added_tokens": []},
        "ignore_merges": description | {"model": model | {"ignore_merges": True, "merges": model["merges"][:40]}},
        "a later merge of the same pair counts": description
        | {"model": model | {"merges": model["merges"] + model["merges"][:3]}},
        "merges across words": crossing(description, reverse=False),
        "merges across words, in reverse": crossing(description, reverse=True),
        "tokens of white space": description
        | {
            "added_tokens": [
                *description["added_tokens"],
                added(610, "\t", lstrip=True, rstrip=True),
                added(611, "\u2003", rstrip=True),
                added(612, "\u3000"),
            ]
        },
        "bytes without a token": description
        | {
            "model": model | {"vocab": alphabet, "merges": merges},
            "added_tokens": [token | {"id": token["id"] - 4} for token in description["added_tokens"]],
        },
    }
    write(
        FIXTURES / "variants.json",
        [
            {"name": name, "tokenizer": variant, "ids": ids(variant)}
            for name, variant in variants.items()
        ],
    )
    bytes_base = description | {"model": crossing(description, reverse=False)["model"], "added_tokens": []}
    bases = {"bytes": bytes_base, "words": description | {"added_tokens": []}} | character_bases()
    write(
        FIXTURES / "families.json",
        {"texts": FAMILY_TEXTS, "bases": bases, "families": [recorded_family(f, bases) for f in families(bases)]},
    )
    write(FIXTURES / "expressions.json", {"texts": FAMILY_TEXTS, "splits": recorded_splits(), "sets": [recorded_set(e) for e in SETS]})
    write(
        FIXTURES / "folders.json",
        {"texts": FOLDER_TEXTS, "folders": [recorded_by_transformers(f, description) for f in folders(description)]},
    )


if __name__ == "__main__":
    main()
