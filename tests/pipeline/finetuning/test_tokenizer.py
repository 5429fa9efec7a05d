from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.tokenizer import longest_prompt, tokenize, truncate
from pipeline.records import AssayError

IDS = st.lists(st.integers(0, 9), max_size=40)


class Letters:
    """A tokenizer with a token a letter; 100 before and 101 after it, if it has special tokens."""

    def __init__(self, before: list[int], after: list[int]) -> None:
        self.before, self.after = before, after
        self.most_at_once = 0

    def __call__(self, text: Any, /, *, add_special_tokens: bool, **options: Any) -> dict[str, Any]:
        self.most_at_once = max(self.most_at_once, len(text))
        before, after = (self.before, self.after) if add_special_tokens else ([], [])
        return {"input_ids": [[*before, *(ord(letter) % 100 for letter in one), *after] for one in text]}


QWEN, BERT, LLAMA = Letters([], []), Letters([100], [101]), Letters([100], [])


def test_two_thirds_of_the_limit_are_head_and_one_third_is_tail() -> None:
    cases: list[tuple[int, list[int]]] = [
        (9, [0, 1, 2, 3, 4, 5, 6, 7, 8]),
        (6, [0, 1, 2, 3, 7, 8]),
        (5, [0, 1, 2, 3, 8]),
        (3, [0, 1, 8]),
        (2, [0, 1]),
        (1, [0]),
    ]
    wrong = [(most, got, kept) for most, kept in cases if (got := truncate(range(9), most)) != kept]
    assert wrong == []


@given(IDS, st.integers(1, 50))
def test_truncating_keeps_what_fits_and_never_more(ids: list[int], most: int) -> None:
    kept = truncate(ids, most)
    assert len(kept) == min(len(ids), most)
    assert kept[: most - most // 3] == ids[: most - most // 3]
    assert truncate(kept, most) == kept


def test_a_limit_of_no_tokens_is_a_programming_error() -> None:
    with pytest.raises(ValueError, match="leaves nothing"):
        truncate([1], 0)


@pytest.mark.parametrize(
    ("tokenizer", "expected"),
    [(QWEN, [97, 98, 99, 0, 3, 4]), (BERT, [100, 97, 98, 99, 4, 101]), (LLAMA, [100, 97, 98, 99, 0, 4])],
)
def test_only_the_text_is_cut_and_special_tokens_stay(tokenizer: Letters, expected: list[int]) -> None:
    assert tokenize(tokenizer, ["abcdefgh"], 6) == [expected]


def test_texts_are_tokenized_in_order_and_in_chunks() -> None:
    tokenizer = Letters([100], [101])
    texts = [chr(97 + i % 3) * (1 + i % 7) for i in range(1_000)]
    sequences = tokenize(tokenizer, texts, 100)
    assert [len(ids) - 2 for ids in sequences] == [len(text) for text in texts]
    assert tokenizer.most_at_once <= 256


def test_no_texts_give_no_sequences() -> None:
    assert tokenize(BERT, [], 10) == []


def test_a_tokenizer_that_yields_nothing_is_one_clear_line() -> None:
    class Silent(Letters):
        def __call__(self, text: Any, /, *, add_special_tokens: bool, **options: Any) -> dict[str, Any]:
            return {"input_ids": [[] for _ in text]}

    with pytest.raises(AssayError, match="cannot tokenize code: it is not the one of base_model"):
        tokenize(Silent([], []), ["a"], 10)
    with pytest.raises(AssayError, match="yields no tokens for some prompts"):
        tokenize(BERT, ["a", ""], 10)


def test_a_prompt_respects_the_limits_of_recipe_model_and_tokenizer() -> None:
    recipe = FinetuneRecipe(max_tokens=1_024)
    assert longest_prompt(recipe) == 1_024
    assert longest_prompt(recipe, 512) == 512
    assert longest_prompt(recipe, 32_768, 10**30) == 1_024
    assert longest_prompt(recipe, None, 256) == 256


@pytest.mark.finetune
def test_real_tokenizers_add_their_special_tokens_and_take_none_from_the_text(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    from tests.builders.tiny_model import tiny_decoder, tiny_encoder

    text = "def total(values):\n    return '[SEP] <|endoftext|> [CLS]'\n"
    for build, ends in ((tiny_decoder, ([], [])), (tiny_encoder, (["[CLS]"], ["[SEP]"]))):
        tokenizer: Any = AutoTokenizer.from_pretrained(build(tmp_path / build.__name__))
        before, after = (tokenizer.convert_tokens_to_ids(tokens) for tokens in ends)
        for most in (1_000, 12):
            (ids,) = tokenize(tokenizer, [text], most)
            assert len(ids) <= most
            assert ids[: len(before)] == before
            assert ids[len(ids) - len(after) :] == after
            inner = ids[len(before) : len(ids) - len(after)]
            assert set(inner) & set(tokenizer.all_special_ids) == set()
        assert tokenizer.decode(tokenize(tokenizer, [text], 1_000)[0], skip_special_tokens=True) == text
