"""Open a base model and its tokenizer from a hub or a directory: safetensors only, and never with code of its own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES
from transformers.utils import logging

from pipeline.finetuning.recipe import BaseModel
from pipeline.records import AssayError

_PROBE = "def f(x): return 1"
_NO_LIMIT = 10**9
# Raised by transformers for missing, damaged or unsuitable files: it has no error class of its own.
_UNREADABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    ImportError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
)
_logging: Any = logging  # has no types


@dataclass(frozen=True, eq=False)
class OpenedModel:
    """A network without its language-model head, on the CPU; `digit_rows` and `digit_bias` are that head's."""

    network: PreTrainedModel
    is_decoder: bool
    attention: str  # "sdpa", or "eager" and why
    digit_rows: Tensor | None = None  # (10, width)
    digit_bias: Tensor | None = None  # (10,)


def load_tokenizer(model: BaseModel) -> PreTrainedTokenizerBase:
    """Load the tokenizer of `model`, with a pad token. Raises AssayError if none works."""
    _check(model)
    with _quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(model.name, revision=_revision(model), trust_remote_code=False)
            ids = tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
        except _UNREADABLE as error:
            raise _refused(model, f"its tokenizer cannot be loaded ({_first_line(error)})") from error
    if not ids or set(ids) == {tokenizer.unk_token_id}:
        raise _refused(model, "its tokenizer cannot tokenize source text: tokenizer.json is missing or not its own")
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token is None:
            raise _refused(model, "its tokenizer has neither a pad token nor an end token: set one in its tokenizer")
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.model_max_length = _NO_LIMIT  # prompts are truncated later; it would warn of each
    return tokenizer


def open_model(model: BaseModel, dtype: torch.dtype, digit_ids: list[int] | None = None) -> OpenedModel:
    """Load the network of `model` in `dtype`, and with `digit_ids` those rows of its output embedding.

    Raises AssayError if it is missing, unreachable, pickled, damaged, neither an encoder nor a decoder, or comes with
    code of its own.
    """
    _check(model)
    with _quiet():
        try:
            config = AutoConfig.from_pretrained(model.name, revision=_revision(model), trust_remote_code=False)
        except _UNREADABLE as error:
            raise _refused(model, f"its config.json cannot be used ({_first_line(error)})") from error
        is_decoder = _is_decoder(model, config)
        if digit_ids is not None and not is_decoder:
            raise _refused(model, 'an encoder predicts no next token: use head = "logit", or a decoder')
        whole, attention = _load(model, dtype, AutoModel if digit_ids is None else AutoModelForCausalLM)
    if digit_ids is None:
        _drop_pooler(whole)
        return OpenedModel(whole, is_decoder, attention)
    output = whole.get_output_embeddings()
    bias = getattr(output, "bias", None)
    return OpenedModel(
        whole.base_model,
        is_decoder,
        attention,
        output.weight[digit_ids].detach().clone(),
        None if bias is None else bias[digit_ids].detach().clone(),
    )


def _load(model: BaseModel, dtype: torch.dtype, kind: Any) -> tuple[Any, str]:
    """Return the model and its attention: SDPA if its architecture supports that."""
    reason = ""
    for attention in ("sdpa", "eager"):
        try:
            network, loading = kind.from_pretrained(
                model.name,
                revision=_revision(model),
                trust_remote_code=False,
                use_safetensors=True,
                dtype=dtype,
                attn_implementation=attention,
                output_loading_info=True,
            )
        except _UNREADABLE as error:
            if attention == "sdpa" and "scaled_dot_product_attention" in str(error):
                reason = ": this architecture has no SDPA attention"
                continue
            raise _refused(model, f"its weights cannot be loaded ({_first_line(error)})") from error
        missing = sorted(name for name in loading["missing_keys"] if "pooler" not in name)
        if missing:
            raise _refused(model, f"{len(missing)} of its weights are missing, {missing[0]} among them")
        return network, attention + reason
    raise AssertionError("eager attention is always available")


def _drop_pooler(network: Any) -> None:
    """Drop BERT's pooler: the states used here bypass it, and an adapter on it would never learn."""
    if isinstance(getattr(network, "pooler", None), nn.Module):
        network.pooler = None


def _is_decoder(model: BaseModel, config: PreTrainedConfig) -> bool:
    """Return whether transformers knows it as a causal and not as a masked model, or its configuration says so."""
    if getattr(config, "is_encoder_decoder", False):
        raise _refused(model, "it is an encoder-decoder; name an encoder or a decoder")
    causal = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    masked = config.model_type in MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return (causal and not masked) or bool(getattr(config, "is_decoder", False))


def _check(model: BaseModel) -> None:
    """Refuse what can be refused before anything is loaded."""
    if is_directory(model):
        _check_directory(model)
    elif Path(model.name).exists():
        # transformers would load it, whatever revision is pinned.
        raise _refused(model, f"a local file has that name: write ./{model.name} to mean it, or start elsewhere")
    try:
        # The plain content of config.json, not interpreted.
        content, _ = PreTrainedConfig.get_config_dict(model.name, revision=_revision(model))
    except _UNREADABLE as error:
        if is_directory(model):
            raise _refused(model, f"its config.json cannot be read ({_first_line(error)})") from error
        raise _refused(
            model,
            f"not found at revision {model.revision or 'main'}, neither on the hub nor in its local cache; check name "
            "and revision and the connection (HF_HUB_OFFLINE, HF_ENDPOINT), or name a directory that holds the model",
        ) from error
    if "auto_map" in content:
        raise _refused(model, "it needs code of its own (auto_map), which is never run: choose another")
    if "quantization_config" in content:
        raise _refused(model, "its weights are quantised: name the original model")


def _check_directory(model: BaseModel) -> None:
    folder = Path(model.name)
    if not folder.is_dir():
        raise _refused(model, "there is no such directory")
    if not (folder / "config.json").is_file():
        raise _refused(model, "no config.json in that directory: name one as transformers saves models")
    if not any(folder.glob("*.safetensors")):
        if any(folder.glob("*.bin")) or any(folder.glob("*.pt")) or any(folder.glob("*.pth")):
            raise _refused(model, "its weights are pickled, which is never opened: convert them to safetensors")
        raise _refused(model, "no weights (*.safetensors) in that directory")


def is_directory(model: BaseModel) -> bool:
    """Decide by the name, as the recipe does: directories are never looked up on a hub, nor hub names on disk."""
    return model.name.startswith(("/", "."))


def _revision(model: BaseModel) -> str:
    return model.revision or "main"


def _refused(model: BaseModel, reason: str) -> AssayError:
    return AssayError(f"--base-model {model.name}: {reason}")


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().splitlines()[0][:200].rstrip(" :.")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the reports of transformers on weights that are left out on purpose."""
    before, bars = _logging.get_verbosity(), _logging.is_progress_bar_enabled()
    _logging.set_verbosity_error()
    _logging.disable_progress_bar()
    try:
        yield
    finally:
        _logging.set_verbosity(before)
        if bars:
            _logging.enable_progress_bar()
