"""Tokenize prompts to fit the model: keep head and tail of long ones, add the special tokens it expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.records import AssayError

_CHUNK_SIZE = 256
_PROBE = "return 1"


class Tokenizer(Protocol):
    """The call interface of a fast tokenizer of the transformers library."""

    def __call__(self, text: Any, /, *, add_special_tokens: bool, **options: Any) -> Mapping[str, Any]: ...


def longest_prompt(recipe: FinetuneRecipe, positions: int | None = None, tokenizer_maximum: int | None = None) -> int:
    """Return the maximal length of a prompt: the recipe's `max_tokens`, or less if the model or tokenizer allows less.

    `positions` is the model's own limit, None if it has none.
    """
    return min(limit for limit in (recipe.max_tokens, positions, tokenizer_maximum) if limit is not None)


def truncate(ids: Sequence[int], limit: int) -> list[int]:
    """Keep at most `limit` ids: two thirds of them from the head, the rest from the tail.

    The head of a function says what it is, the tail how it ends. Raises ValueError for a limit below 1.
    """
    if limit < 1:
        raise ValueError(f"a limit of {limit} tokens leaves nothing")
    if len(ids) <= limit:
        return list(ids)
    tail = limit // 3
    return [*ids[: limit - tail], *ids[len(ids) - tail :]]


def tokenize(tokenizer: Tokenizer, texts: Sequence[str], limit: int) -> list[list[int]]:
    """Return the ids of each text in order, special tokens included, none longer than `limit`.

    Only the text is truncated: an encoder's first and last token stay. A text that spells a special token ("[SEP]",
    "<|endoftext|>") gets the tokens of its letters. Raises AssayError for a tokenizer that yields no tokens.
    """
    before, after = _special_tokens(tokenizer)
    room = limit - len(before) - len(after)
    sequences = [[*before, *truncate(ids, room), *after] for ids in _plain(tokenizer, texts)]
    if not all(len(sequence) > len(before) + len(after) for sequence in sequences):
        raise AssayError("the tokenizer yields no tokens for some prompts: it is not the one of base_model")
    return sequences


def _plain(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[list[int]]:
    for start in range(0, len(texts), _CHUNK_SIZE):
        yield from _ids(tokenizer, texts[start : start + _CHUNK_SIZE], add_special_tokens=False)


def _special_tokens(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the ids that the tokenizer puts before and after a text: ([CLS], [SEP]) for BERT, none for Qwen."""
    (plain,) = _ids(tokenizer, [_PROBE], add_special_tokens=False)
    (whole,) = _ids(tokenizer, [_PROBE], add_special_tokens=True)
    for start in range(len(whole) - len(plain) + 1):
        if plain and whole[start : start + len(plain)] == plain:
            return whole[:start], whole[start + len(plain) :]
    raise AssayError("the tokenizer cannot tokenize code: it is not the one of base_model")


def _ids(tokenizer: Tokenizer, texts: Sequence[str], *, add_special_tokens: bool) -> list[list[int]]:
    encoded = tokenizer(
        list(texts),
        add_special_tokens=add_special_tokens,
        split_special_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,  # no warnings of long texts: they are truncated here
    )
    return [list(ids) for ids in encoded["input_ids"]]
