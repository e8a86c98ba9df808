"""A random model that writes words: what it says is the same text and the same tokens."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from benchmarks.harness.models import LlamaShape
from benchmarks.organizing.model import english_model

_WORD = re.compile(r" [a-z]{2,}")


def wordy_model(shape: LlamaShape) -> Path:
    """The folder of `english_model` with only words in its LM head; made once per machine.

    A frontend that sends text has its answers tokenized again by the server. The words are tokens
    that come back as they were, so that no contender is given other prompts than the other. No
    answer ends before its length, because the end is no word.
    """
    source = english_model(shape)
    folder = source.with_name(f"{source.name}-words")
    if folder.is_dir():
        return folder
    from safetensors.torch import load_file, save_file
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source)
    keep = []
    for token in range(len(tokenizer)):
        text = tokenizer.decode([token])
        if _WORD.fullmatch(text) and tokenizer.encode(text, add_special_tokens=False) == [token]:
            keep.append(token)
    made = Path(tempfile.mkdtemp(dir=source.parent))
    try:
        shutil.copytree(source, made, dirs_exist_ok=True)
        (path,) = made.glob("*.safetensors")
        weights = load_file(path)
        head = weights["lm_head.weight"]
        words = head[keep].clone()
        head.zero_()  # a logit of 0 is never the largest among so many
        head[keep] = words
        path.unlink()  # a link to the source's
        save_file(weights, path, metadata={"format": "pt"})
        os.replace(made, folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return folder
