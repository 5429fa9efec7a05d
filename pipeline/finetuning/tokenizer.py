"""Prompts -> token ids that fit the model: head and tail of what is too long, with the special tokens it expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.records import AssayError

_TEXTS_AT_ONCE = 256
_PROBE = "return 1"


class Tokenizer(Protocol):
    """A fast tokenizer of the transformers library, or anything that is called like one."""

    def __call__(self, text: Any, /, *, add_special_tokens: bool, **options: Any) -> Mapping[str, Any]: ...


def longest_prompt(recipe: FinetuneRecipe, positions: int | None = None, tokenizer_maximum: int | None = None) -> int:
    """How many tokens a prompt may have: the recipe's `max_tokens`, or less where the model or tokenizer takes less.

    `positions` is what the model was built for, None where it has no such limit.
    """
    return min(limit for limit in (recipe.max_tokens, positions, tokenizer_maximum) if limit is not None)


def truncate(ids: Sequence[int], most: int) -> list[int]:
    """At most `most` ids: the first two thirds of them from the head, the rest from the tail.

    A function says what it is at its head and how it ends at its tail. Raises ValueError below one id.
    """
    if most < 1:
        raise ValueError(f"{most} tokens hold nothing")
    if len(ids) <= most:
        return list(ids)
    tail = most // 3
    return [*ids[: most - tail], *ids[len(ids) - tail :]]


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], most: int) -> list[list[int]]:
    """The ids of each text in order, special tokens included, none longer than `most`.

    Only the text is cut: an encoder's first and last token stay. A text that spells a special token ("[SEP]",
    "<|endoftext|>") gets the tokens of its letters. Raises AssayError for a tokenizer that yields nothing to read.
    """
    before, after = _special_tokens(tokenizer)
    room = most - len(before) - len(after)
    sequences = [[*before, *truncate(ids, room), *after] for ids in _plain(tokenizer, texts)]
    if not all(len(sequence) > len(before) + len(after) for sequence in sequences):
        raise AssayError("the tokenizer makes nothing of some prompts: it is not the one of base_model")
    return sequences


def _plain(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[list[int]]:
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        yield from _ids(tokenizer, texts[start : start + _TEXTS_AT_ONCE], add_special_tokens=False)


def _special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a text: ([CLS], [SEP]) for BERT, nothing for Qwen."""
    (plain,) = _ids(tokenizer, [_PROBE], add_special_tokens=False)
    (whole,) = _ids(tokenizer, [_PROBE], add_special_tokens=True)
    for start in range(len(whole) - len(plain) + 1):
        if plain and whole[start : start + len(plain)] == plain:
            return whole[:start], whole[start + len(plain) :]
    raise AssayError("the tokenizer does not read code: it is not the one of base_model")


def _ids(tokenizer: Tokenizer, texts: Sequence[str], *, add_special_tokens: bool) -> list[list[int]]:
    found = tokenizer(
        list(texts),
        add_special_tokens=add_special_tokens,
        split_special_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,  # of texts that are too long: that is seen to here
    )
    return [list(ids) for ids in found["input_ids"]]
