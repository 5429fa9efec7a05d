"""The ranker: a base model (encoder or decoder) with a LoRA adapter and a head that gives one logit per prompt.

Prompts are padded on the right. The head reads a decoder at the last token, an encoder at the mean of all tokens.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from pipeline.finetuning.recipe import FinetuneRecipe
from pipeline.finetuning.training.base_model_files import OpenedModel, load_tokenizer, open_model
from pipeline.finetuning.training.device import base_precision, is_out_of_memory
from pipeline.finetuning.training.heads import DigitsHead, LogitHead, initial
from pipeline.records import AssayError

_ADAPTER = "default"


class Ranker(nn.Module):
    """A frozen base model, an adapter on all of its linear layers, and a head; created by `load_ranker`.

    `parameters_total` counts the base without its embeddings, `max_tokens` is the longest prompt that it can read,
    `pad_id` fills shorter ones; `precision` and `attention` tell how it computes.
    """

    def __init__(self, opened: OpenedModel, recipe: FinetuneRecipe, *, pad_id: int, device: str, seed: int) -> None:
        """Raise AssayError for a base without linear layers, or one that does not fit the device."""
        super().__init__()
        network = opened.network
        self.is_decoder = opened.is_decoder
        self.attention = opened.attention
        self.pad_id = pad_id
        self.max_tokens = _max_tokens(network, pad_id)
        self.parameters_total = _parameters(network)
        self.precision = network.dtype
        self._autocasts = network.dtype == torch.bfloat16
        network.config.use_cache = False  # keys and values are read again by generation only
        self.adapted = _adapted(network, recipe)
        if recipe.gradient_checkpointing:
            _checkpoint_activations(network, recipe)
        self.head: LogitHead | DigitsHead = (
            LogitHead(network.config.hidden_size)
            if opened.digit_rows is None
            else DigitsHead(opened.digit_rows, opened.digit_bias)
        )
        self._move(device, recipe)
        self.reset(seed)
        if recipe.compiled:
            _compile(network)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Map ids and mask (B, T), int64, padded on the right, to logits (B,), float32."""
        states = self._states(input_ids, attention_mask)
        logits: Tensor = self.head(_last(states, attention_mask) if self.is_decoder else _mean(states, attention_mask))
        return logits

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Map ids and mask (B, T) to the mean states of their tokens (B, width), float32."""
        return _mean(self._states(input_ids, attention_mask), attention_mask)

    def reset(self, seed: int) -> None:
        """Initialise adapter and head for `seed`, the same on every device; the base stays loaded."""
        random = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, tensor in sorted(self.trainable().items()):
                tensor.copy_(initial(name, tensor.shape, random))

    def trainable(self) -> dict[str, nn.Parameter]:
        """Return the live float32 parameters of adapter and head; the adapter's under the names that peft saves."""
        adapter = {
            name.replace(f".{_ADAPTER}.", "."): parameter
            for name, parameter in self.adapted.named_parameters()
            if f".{_ADAPTER}." in name
        }
        return adapter | {f"head.{name}": parameter for name, parameter in self.head.named_parameters()}

    def load_trainable(self, tensors: Mapping[str, Tensor]) -> None:
        """Copy in what `trainable` returned. Raises AssayError for the names or shapes of another model."""
        own = self.trainable()
        strange = sorted(own.keys() ^ tensors.keys()) or [n for n in own if own[n].shape != tensors[n].shape]
        if strange:
            raise AssayError(
                f"the adapter was not made for this base model, head and rank: {len(strange)} tensors differ, "
                f"{strange[0]} among them"
            )
        with torch.no_grad():
            for name, parameter in own.items():
                parameter.copy_(tensors[name])

    def parameter_groups(self, recipe: FinetuneRecipe) -> list[dict[str, Any]]:
        """Return the optimizer's groups: the adapter, and the head at its own rate; biases are not decayed."""
        adapter: list[nn.Parameter] = []
        weights: list[nn.Parameter] = []
        biases: list[nn.Parameter] = []
        for name, parameter in self.trainable().items():
            kind = biases if name == "head.bias" else weights if name.startswith("head.") else adapter
            kind.append(parameter)
        groups = (
            {"params": adapter, "lr": recipe.learning_rate, "weight_decay": recipe.weight_decay},
            {"params": weights, "lr": recipe.head_learning_rate, "weight_decay": recipe.weight_decay},
            {"params": biases, "lr": recipe.head_learning_rate, "weight_decay": 0.0},
        )
        return [group for group in groups if group["params"]]

    @contextmanager
    def without_adapter(self) -> Iterator[None]:
        """Compute with the base model as published."""
        with self.adapted.disable_adapter():
            yield

    def _states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the last hidden states (B, T, width).

        Tokens of a decoder never see the padding to their right: without a mask SDPA may take its fast causal path.
        """
        mask = None if self.is_decoder else attention_mask
        with torch.autocast(input_ids.device.type, torch.bfloat16, enabled=self._autocasts):
            network = self.adapted.get_base_model()
            states: Tensor = network(input_ids=input_ids, attention_mask=mask).last_hidden_state
        return states

    def _move(self, device: str, recipe: FinetuneRecipe) -> None:
        try:
            self.to(device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise AssayError(
                f"--base-model {recipe.base_model.name}: does not fit in the memory of {device}; choose a smaller one"
            ) from error


def load_ranker(
    recipe: FinetuneRecipe, *, device: str, seed: int, tokenizer: PreTrainedTokenizerBase | None = None
) -> Ranker:
    """Load the base model of `recipe` on `device`, with adapter and head initialised for `seed`.

    `tokenizer` is the one of `load_tokenizer`, loaded if not given. Torch's RNG state is left alone. Raises AssayError,
    naming the setting to change, if the model cannot be loaded or does not suit the recipe.
    """
    tokenizer = tokenizer or load_tokenizer(recipe.base_model)
    digit_ids = _digit_ids(recipe, tokenizer) if recipe.head == "digits" else None
    opened = open_model(recipe.base_model, base_precision(device), digit_ids)
    embeddings: Any = opened.network.get_input_embeddings()
    rows = embeddings.weight.shape[0]
    highest = max(tokenizer.get_vocab().values())
    if highest >= rows:
        raise AssayError(
            f"--base-model {recipe.base_model.name}: its tokenizer has {highest + 1} tokens and its weights {rows}; "
            "it is not the tokenizer of this model"
        )
    with torch.random.fork_rng(devices=[]):
        return Ranker(opened, recipe, pad_id=tokenizer.pad_token_id, device=device, seed=seed)


def _digit_ids(recipe: FinetuneRecipe, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    vocabulary = tokenizer.get_vocab()
    digits = [str(digit) for digit in range(10)]
    missing = [digit for digit in digits if digit not in vocabulary]
    if missing:
        raise AssayError(
            f"--base-model {recipe.base_model.name}: its tokenizer has no token {missing[0]!r}, which "
            'head = "digits" needs: use head = "logit"'
        )
    return [vocabulary[digit] for digit in digits]


def _adapted(network: PreTrainedModel, recipe: FinetuneRecipe) -> PeftModel:
    """Return the network with LoRA, in float32, on every linear layer; all else is frozen."""
    targets = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | Conv1D)]
    if not targets:
        raise AssayError(f"--base-model {recipe.base_model.name}: it has no linear layers to put LoRA on")
    lora = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=targets,
        fan_in_fan_out=isinstance(network.get_submodule(targets[0]), Conv1D),
        bias="none",
    )
    with warnings.catch_warnings():
        # peft 0.21 asks for `is_gradient_checkpointing`, a name that transformers 5.23 is giving up.
        warnings.simplefilter("ignore", FutureWarning)
        adapted = get_peft_model(network, lora, adapter_name=_ADAPTER, autocast_adapter_dtype=True)
    assert isinstance(adapted, PeftModel)
    if network.dtype == torch.bfloat16:
        # Autocast matches the types of input and weights; peft would first copy every input to float32.
        layers: Iterable[Any] = (module for module in adapted.modules() if isinstance(module, BaseTunerLayer))
        for layer in layers:
            layer.cast_input_dtype_enabled = False
    return adapted


def _last(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Return the state of the last token that is not padding; (B, width)."""
    last = (attention_mask.sum(1) - 1).clamp(min=0)
    return states[torch.arange(len(states), device=states.device), last]


def _mean(states: Tensor, attention_mask: Tensor) -> Tensor:
    """Return the mean state over the tokens that are not padding; (B, width), float32."""
    with torch.autocast(states.device.type, enabled=False):
        weights = attention_mask.float()
        total = torch.einsum("bt,btw->bw", weights, states.float())
        return total / weights.sum(1, keepdim=True).clamp(min=1)


def _max_tokens(network: PreTrainedModel, pad_id: int) -> int:
    """Return the number of positions; RoBERTa counts them from after its padding id."""
    positions = int(getattr(network.config, "max_position_embeddings", None) or 1_000_000)
    learned = (m for name, m in network.named_modules() if name.endswith("position_embeddings"))
    offset = any(isinstance(module, nn.Embedding) and module.padding_idx is not None for module in learned)
    return positions - pad_id - 1 if offset else positions


def _parameters(network: PreTrainedModel) -> int:
    embeddings = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    return sum(p.numel() for p in network.parameters() if id(p) not in embeddings)


def _checkpoint_activations(network: Any, recipe: FinetuneRecipe) -> None:
    if not network.supports_gradient_checkpointing:
        raise AssayError(
            f"--base-model {recipe.base_model.name}: its layers do not support gradient checkpointing; "
            "set gradient_checkpointing to false"
        )
    network.activation_checkpointing_enable()


def _compile(network: PreTrainedModel) -> None:
    """Compile layer by layer, for any shape: layers are alike, so one compilation serves all."""
    layers = next((m for m in network.modules() if isinstance(m, nn.ModuleList)), [network])
    for layer in layers:
        layer.compile(dynamic=True)
