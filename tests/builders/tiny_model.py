"""Models small enough for a test: random weights, and a tokenizer trained on a few lines of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedModel, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

_CODE = (
    "def total(values: list[int]) -> int:",
    "    result = 0",
    "    for value in values:",
    "        if value is not None and value > 0:",
    "            result += value",
    "    return result",
    "function parse(text, options = {}) {",
    "  const fields = text.split(',').map((field) => field.trim());",
    "  if (options.strict && fields.length !== 3) { throw new Error(`bad: ${text}`); }",
    "  return fields;",
    "}",
    "path: src/module.py name: Class.method lines: 12 complexity: 4 nesting: 2",
)
_VOCABULARY = 384  # 256 bytes, the special tokens, and some merges
_SPREAD = 0.1  # of the weights: wide enough that the hidden states tell texts apart


def tiny_decoder(folder: Path, *, seed: int = 0) -> Path:
    """Save a Qwen2 of random weights (hidden 64, 2 layers, up to 2,048 tokens) in `folder`. Every digit is a token."""
    tokenizer = _tokenizer({"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"})
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2_048,
        tie_word_embeddings=True,
        initializer_range=_SPREAD,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with _seeded(seed):
        return _save(folder, Qwen2ForCausalLM(config), tokenizer)


def tiny_encoder(folder: Path, *, seed: int = 0) -> Path:
    """Save a BERT of random weights (hidden 64, 2 layers, at most 512 tokens) in `folder`."""
    tokenizer = _tokenizer({"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"})
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", tokenizer.cls_token_id), ("[SEP]", tokenizer.sep_token_id)],
    )
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        initializer_range=_SPREAD,
        pad_token_id=tokenizer.pad_token_id,
    )
    with _seeded(seed):
        return _save(folder, BertModel(config), tokenizer)


def _tokenizer(special: dict[str, str]) -> PreTrainedTokenizerFast:
    """Train byte-level BPE, which knows every text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=sorted(set(special.values())),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CODE, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's RNG, and restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def _save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
