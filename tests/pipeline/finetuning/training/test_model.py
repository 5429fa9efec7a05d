from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model_state_dict
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.finetuning.training import model as model_module
from pipeline.finetuning.training.base_model_files import open_model
from pipeline.finetuning.training.model import Ranker, load_ranker
from pipeline.finetuning.training.pad import pad
from pipeline.records import AssayError
from tests.builders.tiny_model import tiny_decoder, tiny_encoder

pytestmark = pytest.mark.finetune

KINDS = {"decoder": tiny_decoder, "encoder": tiny_encoder}
SHORT, LONG = list(range(40, 50)), list(range(60, 85))
both_kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {kind: build(tmp_path_factory.mktemp("models") / kind) for kind, build in KINDS.items()}


@pytest.fixture
def load(folders: dict[str, Path]):
    def _load(kind: str = "decoder", seed: int = 1, **changes: Any) -> Ranker:
        recipe = FinetuneRecipe(base_model=BaseModel(str(folders[kind])), **changes)
        return load_ranker(recipe, device="cpu", seed=seed).eval()

    return _load


def scores(ranker: Ranker, *sequences: list[int]) -> Tensor:
    with torch.inference_mode():
        return ranker(*pad(sequences, ranker.pad_id))


def trained(ranker: Ranker) -> Ranker:
    """As if something had been learned: no tensor is at nought any more."""
    random = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in ranker.trainable().values():
            parameter.add_(torch.randn(parameter.shape, generator=random) * 0.1)
    return ranker


def state(ranker: Ranker) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in ranker.trainable().items()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("kind", "head"), [("decoder", "logit"), ("decoder", "digits"), ("encoder", "logit")])
def test_a_prompt_scores_the_same_alone_and_padded_beside_a_longer_one(load, kind: str, head: str) -> None:
    ranker = trained(load(kind, head=head))
    together = scores(ranker, SHORT, LONG)
    alone = torch.cat([scores(ranker, SHORT), scores(ranker, LONG)])
    assert (together.shape, together.dtype) == ((2,), torch.float32)
    assert torch.allclose(together, alone, atol=1e-5)
    assert abs(float(together[0] - together[1])) > 1e-3


def test_a_decoder_scores_the_same_without_a_mask(load) -> None:
    ranker = trained(load())
    ids, mask = pad([SHORT, LONG, SHORT[:1]], ranker.pad_id)
    with torch.inference_mode():
        states = ranker.adapted.get_base_model()(input_ids=ids, attention_mask=mask).last_hidden_state
        masked = ranker.head(torch.stack([states[row, int(mask[row].sum()) - 1] for row in range(3)]))
        assert torch.allclose(ranker(ids, mask), masked, atol=1e-5)


@pytest.mark.parametrize(("kind", "wanted"), [("decoder", None), ("encoder", [[1, 1], [1, 0]])])
def test_a_decoder_gets_no_mask_and_an_encoder_needs_one(load, kind: str, wanted: list[list[int]] | None) -> None:
    ranker = load(kind)
    seen: list[Any] = []
    network = ranker.adapted.get_base_model()
    network.register_forward_pre_hook(lambda _, __, given: seen.append(given["attention_mask"]), with_kwargs=True)
    scores(ranker, [5, 6], [5])
    assert [None if mask is None else mask.tolist() for mask in seen] == [wanted]


@both_kinds
def test_a_score_depends_on_the_first_token_of_a_prompt(load, kind: str) -> None:
    ranker = load(kind)
    assert scores(ranker, LONG).item() != scores(ranker, [99, *LONG[1:]]).item()


def test_the_digits_head_is_the_expected_digit_of_the_next_token(load, folders: dict[str, Path]) -> None:
    ranker = load(head="digits")
    tokenizer = AutoTokenizer.from_pretrained(folders["decoder"])
    whole = AutoModelForCausalLM.from_pretrained(folders["decoder"])
    with torch.inference_mode():
        logits = whole(torch.tensor([LONG])).logits[0, -1, tokenizer.convert_tokens_to_ids(list("0123456789"))]
    expected = torch.softmax(logits, 0) @ torch.arange(10.0)
    assert float(torch.sigmoid(scores(ranker, LONG)) * 9) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("kind", "layers"), [("decoder", 2 * 7), ("encoder", 2 * 6)])
def test_every_linear_layer_of_the_base_has_an_adapter(load, kind: str, layers: int) -> None:
    names = list(load(kind).trainable())
    assert len([name for name in names if name.endswith("lora_A.weight")]) == layers
    assert len(names) == 2 * layers + 2


@both_kinds
def test_adapter_tensors_have_the_names_that_peft_gives_them(load, kind: str) -> None:
    ranker = load(kind)
    assert {name for name in ranker.trainable() if not name.startswith("head.")} == set(
        get_peft_model_state_dict(ranker.adapted)
    )


@pytest.mark.parametrize(
    ("kind", "parameters", "max_tokens"),
    # Decoder, a layer: q 64x64+64, k and v 64x32+32 each, o 64x64, three of 64x128, two norms of 64; a norm at the end.
    [("decoder", 2 * (4_160 + 2 * 2_080 + 4_096 + 24_576 + 128) + 64, 2_048),
     # Encoder, a layer: four of 64x64+64, 64x128+128, 128x64+64, two norms of 128; one norm after the embeddings.
     ("encoder", 2 * (4 * 4_160 + 8_320 + 8_256 + 256) + 128, 512)],
)  # fmt: skip
def test_parameters_are_counted_without_embeddings_and_adapter(
    load, kind: str, parameters: int, max_tokens: int
) -> None:
    ranker = load(kind)
    assert (ranker.parameters_total, ranker.max_tokens) == (parameters, max_tokens)


@both_kinds
def test_exactly_adapter_and_head_learn(load, kind: str) -> None:
    ranker = load(kind).train()
    ranker(*pad([SHORT, LONG], ranker.pad_id)).sum().backward()
    own = ranker.trainable()
    assert {id(p) for p in ranker.parameters() if p.requires_grad} == {id(p) for p in own.values()}
    assert [name for name, parameter in own.items() if parameter.grad is None] == []
    assert all(own[name].grad.any() for name in own if name.endswith(("lora_B.weight", "head.weight")))


@both_kinds
def test_an_untrained_adapter_adds_nothing_and_a_trained_one_can_be_disabled(load, kind: str) -> None:
    ranker = load(kind)
    prompt = pad([SHORT, LONG], ranker.pad_id)
    with torch.inference_mode():
        untouched = ranker.embed(*prompt)
        trained(ranker)
        with ranker.without_adapter():
            assert torch.equal(ranker.embed(*prompt), untouched)
        assert not torch.allclose(ranker.embed(*prompt), untouched, atol=1e-3)


def test_disabling_the_adapter_does_not_freeze_it(load) -> None:
    ranker = load()
    with ranker.without_adapter():
        scores(ranker, SHORT)
    assert all(parameter.requires_grad for parameter in ranker.trainable().values())


def test_embeddings_are_the_mean_over_the_tokens_of_a_prompt(load) -> None:
    ranker = load()
    ids, mask = pad([SHORT, LONG], ranker.pad_id)
    with torch.inference_mode():
        states = ranker.adapted.get_base_model()(input_ids=torch.tensor([SHORT])).last_hidden_state
        assert torch.allclose(ranker.embed(ids, mask)[0], states[0].mean(0), atol=1e-5)


def test_only_the_seed_determines_the_initial_values(load) -> None:
    first = state(load(seed=1))
    torch.manual_seed(123)
    assert same(state(load(seed=1)), first)
    assert not same(state(load(seed=2)), first)


def test_a_trained_ranker_can_be_reset_to_another_seed(load) -> None:
    ranker = trained(load(seed=1))
    ranker.reset(2)
    assert same(state(ranker), state(load(seed=2)))


def test_loading_leaves_the_rng_state_of_torch_alone(load) -> None:
    before = torch.get_rng_state()
    load()
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("head", ["logit", "digits"])
def test_trained_tensors_can_be_loaded(load, head: str) -> None:
    one, other = trained(load(seed=1, head=head)), load(seed=2, head=head)
    other.load_trainable(state(one))
    assert torch.equal(scores(one, SHORT, LONG), scores(other, SHORT, LONG))


def test_an_adapter_of_another_rank_head_or_model_is_refused_and_nothing_is_loaded(load) -> None:
    ranker = load()
    before = state(ranker)
    for other in (load(lora_rank=4), load(head="digits"), load("encoder")):
        with pytest.raises(AssayError, match="not made for this base model, head and rank"):
            ranker.load_trainable(other.trainable())
    assert same(state(ranker), before)


def test_adapter_and_head_learn_at_their_own_rates_and_a_bias_is_not_decayed(load) -> None:
    recipe = FinetuneRecipe()
    ranker = load()
    adapter, weight, bias = ranker.parameter_groups(recipe)
    assert (adapter["lr"], adapter["weight_decay"], len(adapter["params"])) == (2e-4, 0.01, 28)
    assert (weight["lr"], weight["weight_decay"], weight["params"]) == (1e-3, 0.01, [ranker.head.weight])
    assert (bias["lr"], bias["weight_decay"], bias["params"]) == (1e-3, 0.0, [ranker.head.bias])
    assert [len(group["params"]) for group in load(head="digits").parameter_groups(recipe)] == [28]


@both_kinds
def test_with_a_base_in_bfloat16_adapter_and_head_stay_in_float32(
    load, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    precise = scores(trained(load(kind)), SHORT, LONG)
    monkeypatch.setattr(model_module, "base_precision", lambda device: torch.bfloat16)
    ranker = trained(load(kind))
    assert ranker.precision == torch.bfloat16
    assert {parameter.dtype for parameter in ranker.trainable().values()} == {torch.float32}
    rough = scores(ranker, SHORT, LONG)
    assert rough.dtype == torch.float32
    assert torch.allclose(rough, precise, atol=0.1)
    assert not torch.equal(rough, precise)
    ranker.train()(*pad([SHORT], ranker.pad_id)).sum().backward()
    assert {p.grad.dtype for p in ranker.trainable().values() if p.grad is not None} == {torch.float32}


@both_kinds
def test_gradient_checkpointing_gives_the_same_gradients(load, kind: str) -> None:
    gradients = []
    for twice in (False, True):
        ranker = trained(load(kind, gradient_checkpointing=twice)).train()
        torch.manual_seed(5)
        ranker(*pad([SHORT, LONG], ranker.pad_id)).sum().backward()
        gradients.append({name: p.grad for name, p in ranker.trainable().items() if p.grad is not None})
        layers = (m for m in ranker.modules() if getattr(m, "gradient_checkpointing", False))
        assert bool(list(layers)) is twice
    plain, again = gradients
    assert plain.keys() == again.keys()
    assert all(torch.allclose(plain[name], again[name], atol=1e-6) for name in plain)


def test_dropout_is_the_recipe_s_and_applies_in_training_only(load) -> None:
    ranker = trained(load(lora_dropout=0.5))
    assert torch.equal(scores(ranker, LONG), scores(ranker, LONG))
    ranker.train()
    assert not torch.equal(scores(ranker, LONG), scores(ranker, LONG))
    none = trained(load(lora_dropout=0.0)).train()
    assert torch.equal(scores(none, LONG), scores(none, LONG))


# torch 2.13 warns of itself when its compiler is first imported.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@both_kinds
def test_layers_are_compiled_if_the_recipe_says_so(load, kind: str) -> None:
    for compiled in (False, True):
        modules = load(kind, compiled=compiled).modules()
        assert sum(module._compiled_call_impl is not None for module in modules) == (2 if compiled else 0)


def test_a_model_without_linear_layers_is_refused(load, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_layers(*given: Any) -> Any:
        opened = open_model(*given)
        opened.network.layers = nn.ModuleList()
        return opened

    monkeypatch.setattr(model_module, "open_model", without_layers)
    with pytest.raises(AssayError, match=r"--base-model .*decoder: it has no linear layers to put LoRA on"):
        load()


def test_a_tokenizer_of_a_larger_model_is_refused(folders: dict[str, Path]) -> None:
    recipe = FinetuneRecipe(base_model=BaseModel(str(folders["decoder"])))
    tokenizer = AutoTokenizer.from_pretrained(folders["decoder"])
    tokenizer.add_tokens(["<one_more>"])
    with pytest.raises(AssayError, match=r"its tokenizer has 385 tokens and its weights 384"):
        load_ranker(recipe, device="cpu", seed=1, tokenizer=tokenizer)


def test_a_tokenizer_without_digits_is_refused_for_the_digits_head(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = FinetuneRecipe(base_model=BaseModel(str(folders["decoder"])), head="digits")
    tokenizer = AutoTokenizer.from_pretrained(folders["decoder"])
    vocabulary = {token: number for token, number in tokenizer.get_vocab().items() if token != "7"}
    monkeypatch.setattr(tokenizer, "get_vocab", lambda: vocabulary)
    with pytest.raises(AssayError, match=r"no token '7', .* use head = \"logit\""):
        load_ranker(recipe, device="cpu", seed=1, tokenizer=tokenizer)


def test_a_model_that_does_not_fit_the_device_is_an_error_that_names_it(load, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Ranker, "to", full)
    with pytest.raises(AssayError, match=r"--base-model .*decoder: does not fit in the memory of cpu"):
        load()
