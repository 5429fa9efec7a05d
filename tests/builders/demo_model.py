"""The base model of the demo, made on the spot: an encoder of 64 numbers a token that can tell calls apart.

It is taught on made-up functions of its own, of no repository and without a label, to name the calls that code makes:
what a base model brings along. Which of them mean trouble it cannot know; that is left to the fine-tuning job.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast
from transformers.utils import logging

from pipeline.finetuning.prompts import Prompted, render_prompt
from pipeline.records import PairMetrics
from tests.builders.demo_code import make_function

# What differs from the recipe that ships, which is meant for models ten thousand times as large.
RECIPE: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "max_tokens": 192,
        "lora_dropout": 0.0,
        "learning_rate": 0.003,
        "head_learning_rate": 0.02,
        "epochs": 2,
        "batch_size": 16,
        "validations": 2,
        "seeds": (1, 2),
    }
)

WIDTH, LAYERS, MOST_TOKENS = 64, 2, 256
TAUGHT, STEPS, BATCH, RATE = 600, 150, 16, 5e-3
_NO_CALL_WEIGHT = 0.05  # of a token that names no call, as nearly all do
_WHOLE_WEIGHT, _SHARPENED = 3.0, 10.0  # of the whole function; a mean over a hundred tokens is faint
_SEED = 20_260_101
_VOCABULARY = 1_200
_SPREAD = 0.1
_logging: Any = logging  # has no types
_CALL = re.compile(r"\b\w+\.(\w+)\(")


def demo_model(folder: Path) -> Path:
    """The model, saved in `folder` as transformers does; some fifteen seconds on one core, the same every time."""
    texts = list(_made_up(TAUGHT))
    tokenizer = _tokenizer(texts)
    with _alone(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        network = BertModel(
            BertConfig(
                vocab_size=len(tokenizer),
                hidden_size=WIDTH,
                intermediate_size=2 * WIDTH,
                num_hidden_layers=LAYERS,
                num_attention_heads=4,
                max_position_embeddings=MOST_TOKENS,
                initializer_range=_SPREAD,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                pad_token_id=tokenizer.pad_token_id,
            ),
            add_pooling_layer=False,
        )
        _teach(network, tokenizer, texts)
        network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@contextmanager
def _alone() -> Iterator[None]:
    """One thread: as fast for so small a model, and the same numbers however many processors there are. No bars."""
    threads, bars = torch.get_num_threads(), _logging.is_progress_bar_enabled()
    torch.set_num_threads(1)
    _logging.disable_progress_bar()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if bars:
            _logging.enable_progress_bar()


def _made_up(count: int) -> Iterator[str]:
    """Prompts of functions that stand in no history."""
    chance, names = random.Random(_SEED), set[str]()
    for number in range(count):
        function = make_function(number % 2 == 0, chance, names)
        code, language = (function.python(), "Python") if number % 3 else (function.typescript(), "TypeScript")
        metrics = PairMetrics(code.count("\n"), *(chance.randrange(6) for _ in range(5)))
        yield render_prompt(Prompted(f"src/orders/rules{number}.py", function.name, language, metrics, code))


def _tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE of words with the space before them, single digits and signs."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?[A-Za-z]+|\n *| ?[^A-Za-z\n ]| +"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["[CLS]", "[PAD]", "[SEP]"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]")
    fast.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[("[CLS]", fast.cls_token_id), ("[SEP]", fast.sep_token_id)],
    )
    return fast


def _teach(network: BertModel, tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> None:
    """Name calls: of every token the one that it names, if any, and of every function those that it makes."""
    calls = {name: number for number, name in enumerate(sorted({n for text in texts for n in _CALL.findall(text)}), 1)}
    at_token, in_function = (nn.Linear(WIDTH, len(calls) + 1) for _ in range(2))
    rarity = torch.tensor([_NO_CALL_WEIGHT] + [1.0] * len(calls))
    optimizer = torch.optim.AdamW([p for part in (network, at_token, in_function) for p in part.parameters()], lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS, pct_start=0.1)
    network.train()
    for _ in range(STEPS):
        chosen = [texts[i] for i in torch.randint(len(texts), (BATCH,)).tolist()]
        ids, mask, named = _lesson(tokenizer, chosen, calls)
        states = network(ids, attention_mask=mask).last_hidden_state
        made = nn.functional.one_hot(named, len(calls) + 1).amax(1).float()
        wrong = nn.functional.cross_entropy(at_token(states).flatten(0, 1), named.flatten(), rarity)
        wrong += _WHOLE_WEIGHT * nn.functional.binary_cross_entropy_with_logits(
            in_function(_mean(states, mask) * _SHARPENED)[:, 1:], made[:, 1:]
        )
        optimizer.zero_grad()
        wrong.backward()
        optimizer.step()
        schedule.step()


def _lesson(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], calls: Mapping[str, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, their mask, and the number of the call that each token names, 0 for none; (B, T) each."""
    read = tokenizer(texts, padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt")
    named = torch.zeros_like(read["input_ids"])
    for row, text in enumerate(texts):
        for call in _CALL.finditer(text):
            token = read.char_to_token(row, call.start(1))
            if token is not None:  # it was cut off
                named[row, token] = calls[call[1]]
    return read["input_ids"], read["attention_mask"], named


def _mean(states: Tensor, mask: Tensor) -> Tensor:
    """Over the tokens that are not padding; (B, width)."""
    weights = mask.unsqueeze(-1).float()
    return (states * weights).sum(1) / weights.sum(1)
