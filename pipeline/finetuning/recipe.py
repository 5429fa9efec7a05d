"""The recipe of a run: every choice, validated on construction. Outcomes are comparable only within one recipe."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from pipeline.records import AssayError

# Increased whenever the prompt of the same function changes.
PROMPT_VERSION = 1

Head = Literal["logit", "digits"]
Ablation = Literal["none", "names", "code"]

CPU_MICRO_BATCH_TOKENS = 4_096

# The least that a run needs to learn from: functions to train on, and those of them that were fixed.
MIN_TRAINED_ON, MIN_POSITIVES = 100, 10
# Validation only orders functions: more of them cost time and choose no other step.
MAX_VALIDATED = 1_000

_HASH = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class BaseModel:
    """A model on a hub at a pinned commit, or in a directory, identified by a digest of its content."""

    name: str
    revision: str = ""
    digest: str = ""  # model_digest.weights_digest

    @property
    def family(self) -> str:
        """Return the last part of the name, by which outcomes are calibrated."""
        return self.name.rstrip("/").rpartition("/")[2]


PRESETS = MappingProxyType(
    {
        "Qwen/Qwen2.5-Coder-0.5B": BaseModel("Qwen/Qwen2.5-Coder-0.5B", "8123ea2e9354afb7ffcc6c8641d1b2f5ecf18301"),
        "Qwen/Qwen2.5-Coder-1.5B": BaseModel("Qwen/Qwen2.5-Coder-1.5B", "df3ce67c0e24480f20468b6ef2894622d69eb73b"),
        "Qwen/Qwen2.5-Coder-7B": BaseModel("Qwen/Qwen2.5-Coder-7B", "0396a76181e127dfc13e5c5ec48a8cee09938b02"),
    }
)
DEFAULT_MODEL = PRESETS["Qwen/Qwen2.5-Coder-1.5B"]

# Settings that fit a run to its machine and change no number.
_NOT_IN_THE_ID = frozenset(
    {"max_minutes", "memory_limit_gb", "micro_batch_tokens", "gradient_checkpointing", "compiled"}
)


@dataclass(frozen=True)
class FinetuneRecipe:
    """How an adapter is trained. Raises AssayError for an invalid value, naming it."""

    base_model: BaseModel = DEFAULT_MODEL
    # Prompt
    max_tokens: int = 1_024  # per prompt; longer ones keep head and tail
    ablation: Ablation = "none"  # masks names or code, to see what the adapter relies on
    # Adapter
    head: Head = "logit"
    lora_rank: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.05
    # Objective
    ranking_weight: float = 1.0  # of the pairwise loss, relative to cross-entropy
    least_positives: float = 0.3  # share of a batch
    most_positives: float = 0.5
    shuffled_labels: bool = False  # the control: with labels assigned at random nothing can be learned
    # Optimisation
    learning_rate: float = 2e-4
    head_learning_rate: float = 1e-3
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    warmup_share: float = 0.03
    epochs: int = 3
    batch_size: int = 32  # effective: per optimizer step
    validations: int = 8  # evenly spaced over the steps, to choose how many of them
    seeds: tuple[int, ...] = (1, 2, 3)
    # Limits, and what fits the machine
    max_minutes: float = 360.0
    memory_limit_gb: float | None = None  # of the device; None: all of it
    micro_batch_tokens: int = 16_384  # with padding; halved when memory runs out
    gradient_checkpointing: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and low <= value <= high):
                raise AssayError(f"{name} = {value}: must be between {low:g} and {high:g}")
        if self.least_positives > self.most_positives:
            raise AssayError(
                f"least_positives = {self.least_positives} is above most_positives = {self.most_positives}"
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds) or min(self.seeds) < 0:
            raise AssayError(f"seeds = {self.seeds}: must be one or more different numbers from 0")
        if self.base_model.revision and not _HASH.fullmatch(self.base_model.revision):
            raise AssayError(f"revision = {self.base_model.revision!r}: must be a commit hash of 40 digits")

    def fitted_to(self, device: str) -> FinetuneRecipe:
        """Return the recipe with micro-batches small enough for the device: a job can stop only between two of them."""
        if device != "cpu":
            return self
        return replace(self, micro_batch_tokens=min(self.micro_batch_tokens, CPU_MICRO_BATCH_TOKENS))

    def recipe_id(self, label_recipe_id: str) -> str:
        """Return 12 hexadecimal digits that identify every choice that changes a number, the label recipe included."""
        chosen = {k: v for k, v in dataclasses.asdict(self).items() if k not in _NOT_IN_THE_ID}
        model = self.base_model
        chosen["base_model"] = [model.name, model.revision] if model.revision else [model.family, model.digest]
        chosen |= {"label_recipe_id": label_recipe_id, "prompt_version": PROMPT_VERSION}
        canonical = json.dumps(chosen, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]


_RANGES = (
    ("max_tokens", 32, 32_768),
    ("lora_rank", 1, 512),
    ("lora_alpha", 1, 1_024),
    ("lora_dropout", 0, 0.9),
    ("ranking_weight", 0, 100),
    ("least_positives", 0, 1),
    ("most_positives", 0, 1),
    ("learning_rate", 1e-8, 1),
    ("head_learning_rate", 1e-8, 1),
    ("weight_decay", 0, 1),
    ("max_gradient_norm", 1e-6, 1e6),
    ("warmup_share", 0, 1),
    ("epochs", 1, 3),
    ("batch_size", 2, 4_096),
    ("validations", 1, 1_000),
    ("max_minutes", 0.01, 10_080),
    ("memory_limit_gb", 0.1, 10_000),
    ("micro_batch_tokens", 32, 10_000_000),
)


def base_model(name: str, revision: str = "") -> BaseModel:
    """Return the model of that name at its pinned revision, or a directory (a name that begins with `/` or `.`).

    Raises AssayError for a hub name that is neither pinned here nor given with a revision.
    """
    if name.startswith(("/", ".")):
        return BaseModel(name)
    if revision:
        return BaseModel(name, revision)
    if name in PRESETS:
        return PRESETS[name]
    raise AssayError(
        f"{name!r} is not a model that Assay pins ({', '.join(PRESETS)}): add its revision (a commit hash), or name a "
        "directory that holds it (./MODEL)"
    )
