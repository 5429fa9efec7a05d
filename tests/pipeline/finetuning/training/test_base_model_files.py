from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    BertModel,
    GPT2Config,
    GPT2Model,
    LlamaConfig,
    LlamaModel,
    ModernBertConfig,
    ModernBertModel,
    RobertaConfig,
    RobertaModel,
)

from pipeline.finetuning.recipe import PRESETS, BaseModel
from pipeline.finetuning.training.base_model_files import load_tokenizer, open_model
from pipeline.records import AssayError
from tests.builders.tiny_model import tiny_decoder, tiny_encoder

pytestmark = pytest.mark.finetune


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {"decoder": tiny_decoder(folder / "decoder"), "encoder": tiny_encoder(folder / "encoder")}


@pytest.fixture
def decoder(models: dict[str, Path], tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(models["decoder"], tmp_path / "decoder"))


def opened(folder: Path, **others: Any):
    return open_model(BaseModel(str(folder)), torch.float32, **others)


def edit(file: Path, **changes: Any) -> None:
    """Fields of a JSON file changed, or left out where they are None."""
    content = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


@pytest.mark.parametrize(("kind", "is_decoder"), [("decoder", True), ("encoder", False)])
def test_encoders_and_decoders_are_distinguished_and_use_sdpa(
    models: dict[str, Path], kind: str, is_decoder: bool
) -> None:
    model = opened(models[kind])
    assert (model.is_decoder, model.attention, model.digit_rows) == (is_decoder, "sdpa", None)
    assert model.network.config._attn_implementation == "sdpa"


def test_an_encoder_configured_as_a_decoder_is_a_decoder(models: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models["encoder"], tmp_path / "model"))
    edit(folder / "config.json", is_decoder=True)
    assert opened(folder).is_decoder


def test_weights_are_loaded_in_the_requested_precision(models: dict[str, Path]) -> None:
    network = open_model(BaseModel(str(models["decoder"])), torch.bfloat16).network
    saved = load_file(models["decoder"] / "model.safetensors")["model.layers.1.mlp.up_proj.weight"]
    loaded = network.get_parameter("layers.1.mlp.up_proj.weight")
    assert loaded.dtype == torch.bfloat16
    assert torch.equal(loaded, saved.bfloat16())


def test_rows_of_the_output_embedding_are_returned_on_request(models: dict[str, Path]) -> None:
    model = opened(models["decoder"], digit_ids=[5, 3])
    embedding = load_file(models["decoder"] / "model.safetensors")["model.embed_tokens.weight"]
    assert model.digit_rows is not None
    assert torch.equal(model.digit_rows, embedding[[5, 3]])  # input and output are tied
    assert (type(model.network).__name__, model.digit_bias) == ("Qwen2Model", None)


def test_an_encoder_is_refused_for_the_digits_head(models: dict[str, Path]) -> None:
    with pytest.raises(AssayError, match=r'--base-model .*: an encoder predicts no next token: use head = "logit"'):
        opened(models["encoder"], digit_ids=[1])


def test_a_pooler_is_left_out_because_it_would_never_learn(models: dict[str, Path]) -> None:
    assert not [name for name, _ in opened(models["encoder"]).network.named_parameters() if "pooler" in name]


def test_an_architecture_without_sdpa_uses_eager_attention_and_says_why(
    models: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BertModel, "_supports_sdpa", False)
    model = opened(models["encoder"])
    assert model.attention == "eager: this architecture has no SDPA attention"
    assert model.network.config._attn_implementation == "eager"


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def truncate(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1_000])


def pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def drop_a_weight(folder: Path) -> None:
    file = folder / "model.safetensors"
    weights = load_file(file)
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, file, metadata={"format": "pt"})


def config(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", **changes)


def test_a_model_that_cannot_be_used_is_refused_with_the_reason(
    models: dict[str, Path], tmp_path: Path, subtests: pytest.Subtests
) -> None:
    cases: list[tuple[Callable[[Path], object], str]] = [
        (shutil.rmtree, "there is no such directory"),
        (remove("config.json"), r"no config\.json"),
        (remove("model.safetensors"), "no weights"),
        (pickle, "pickled, which is never opened: convert them to safetensors"),
        (truncate, "its weights cannot be loaded"),
        (drop_a_weight, r"1 of its weights are missing, .*layers\.0\.mlp\.up_proj\.weight"),
        (config(num_hidden_layers=3, layer_types=None), "12 of its weights are missing"),
        (config(hidden_size=32), "its weights cannot be loaded"),
        (config(auto_map={"AutoModel": "modeling.Own"}), "code of its own"),
        (config(quantization_config={"quant_method": "gptq"}), "quantised"),
        (config(is_encoder_decoder=True), "it is an encoder-decoder"),
        (config(model_type="nobody_knows_it"), r"config\.json cannot be used"),
        (config(hidden_size="wide"), r"config\.json cannot be used"),
        (lambda folder: (folder / "config.json").write_text("{"), r"config\.json cannot be read"),
    ]  # fmt: skip
    for number, (damage, message) in enumerate(cases):
        with subtests.test(message):
            folder = Path(shutil.copytree(models["decoder"], tmp_path / str(number)))
            damage(folder)
            with pytest.raises(AssayError, match=f"^--base-model {folder}: .*{message}") as raised:
                opened(folder)
            assert "\n" not in str(raised.value)


def test_code_shipped_with_a_model_is_never_run(decoder: Path, tmp_path: Path) -> None:
    (decoder / "modeling.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')\n")
    edit(
        decoder / "config.json", model_type="own", auto_map={"AutoConfig": "modeling.Own", "AutoModel": "modeling.Own"}
    )
    with pytest.raises(AssayError, match="never run"):
        opened(decoder)
    assert not (tmp_path / "was_run").exists()


def test_a_model_missing_from_hub_and_cache_is_reported_with_its_revision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    model = PRESETS["Qwen/Qwen2.5-Coder-0.5B"]
    for load in (lambda: open_model(model, torch.float32), lambda: load_tokenizer(model)):
        with pytest.raises(AssayError, match=f"^--base-model {model.name}: not found at revision {model.revision}"):
            load()


def test_a_hub_name_is_never_mistaken_for_a_local_directory(
    decoder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(AssayError, match=rf"write \./{decoder.name}"):
        open_model(BaseModel(decoder.name), torch.float32)


def test_a_relative_directory_is_found(decoder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_model(BaseModel(f"./{decoder.name}"), torch.float32).is_decoder


def test_a_tokenizer_without_a_pad_token_pads_with_its_end_token(decoder: Path) -> None:
    edit(decoder / "tokenizer_config.json", pad_token=None)
    tokenizer = load_tokenizer(BaseModel(str(decoder)))
    assert tokenizer.pad_token_id == tokenizer.eos_token_id


def test_a_tokenizer_without_pad_and_end_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models["encoder"], tmp_path / "model"))
    edit(folder / "tokenizer_config.json", pad_token=None)
    with pytest.raises(AssayError, match="neither a pad token nor an end token"):
        load_tokenizer(BaseModel(str(folder)))


def test_a_model_without_a_tokenizer_is_refused(decoder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (decoder / name).unlink()
    with pytest.raises(AssayError, match=f"--base-model {decoder}: its tokenizer"):
        load_tokenizer(BaseModel(str(decoder)))


def test_a_damaged_tokenizer_is_refused(decoder: Path) -> None:
    (decoder / "tokenizer.json").write_text('{"model": null}')
    with pytest.raises(AssayError, match=f"--base-model {decoder}: its tokenizer cannot be loaded"):
        load_tokenizer(BaseModel(str(decoder)))


def test_loading_is_silent(decoder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    opened(decoder)
    load_tokenizer(BaseModel(str(decoder)))("x" * 5_000)
    assert capfd.readouterr() == ("", "")


def test_test_models_are_reproducible_and_differ_by_seed(tmp_path: Path) -> None:
    once, again, other = (
        AutoModel.from_pretrained(tiny_decoder(tmp_path / name, seed=seed)).embed_tokens.weight
        for name, seed in (("once", 0), ("again", 0), ("other", 1))
    )
    assert torch.equal(once, again)
    assert not torch.equal(once, other)


TINY_BERT: dict[str, Any] = {"hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 4}
TINY_GPT: dict[str, Any] = {"n_embd": 4, "n_layer": 1, "n_head": 1}


@pytest.mark.parametrize(
    ("kind", "config", "is_decoder"),
    [
        (RobertaModel, RobertaConfig(vocab_size=9, **TINY_BERT), False),
        (ModernBertModel, ModernBertConfig(vocab_size=9, pad_token_id=0, **TINY_BERT), False),
        (GPT2Model, GPT2Config(vocab_size=9, **TINY_GPT), True),
        (LlamaModel, LlamaConfig(vocab_size=9, **TINY_BERT), True),
    ],
)
def test_other_architectures_are_distinguished_too(kind: Any, config: Any, is_decoder: bool, tmp_path: Path) -> None:
    kind(config).save_pretrained(tmp_path)
    assert opened(tmp_path).is_decoder is is_decoder
