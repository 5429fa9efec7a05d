"""Measure the speed of training and scoring on an NVIDIA GPU: `make bench-gpu PAIRS='FILE FILE FILE'`.

    1. measure the device's peak with a large bf16 matrix product
    2. create a base model: the 1.5B architecture with random weights and a tokenizer trained on the pairs, or take
       BASE_MODEL=DIR
    3. measure training and scoring tokens/s on 3,000 of the pairs (without padding), utilisation and padding share
    4. project the whole job for 3,000 pairs × 3 epochs × 1 seed, without loading the model

PAIRS are pair sets of `assay finetune PATH --dry-run --save-pairs FILE`. Speed depends neither on weights nor labels.
Without a GPU the figures are those of a small architecture on the CPU, and say so. It fails if a gradient is zero or
the loss does not fall.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from pipeline.finetuning.pair_file import load_pairs
from pipeline.finetuning.pair_set import PairSet
from pipeline.finetuning.prompts import Prompted, render_prompt
from pipeline.finetuning.recipe import MAX_VALIDATED, BaseModel, FinetuneRecipe

PAIRS, EPOCHS = 3_000, 3
AIMS = {"training": (54_000, 90_000), "scoring": (110_000, 200_000)}  # tokens/s on one H200: minimum, goal
JOB_MINUTES = 3.0
VOCABULARY = 32_000

# hidden, intermediate, layers, heads, key-value heads
ARCHITECTURES = {"1.5B": (1_536, 8_960, 28, 12, 2), "small": (256, 1_024, 4, 4, 2)}


def main() -> int:
    os.environ |= {"HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1", "TOKENIZERS_PARALLELISM": "false"}
    import torch

    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("pairs", nargs="+", type=Path, metavar="FILE", help="pair sets of real repositories")
    parser.add_argument("--base-model", type=Path, metavar="DIR", help="instead of random weights")
    parser.add_argument("--functions", type=int, default=PAIRS, metavar="N", help="number of pairs")
    parser.add_argument("--steps", type=int, default=40, metavar="N", help="training steps to time")
    parser.add_argument("--compiled", action="store_true")
    options = parser.parse_args()
    has_gpu = torch.cuda.is_available()
    functions, signals = sample([load_pairs(file) for file in options.pairs], options.functions)
    with tempfile.TemporaryDirectory() as folder:
        model = options.base_model or random_model(Path(folder), "1.5B" if has_gpu else "small", functions)
        report = measure(model, functions, signals, options.steps, "cuda" if has_gpu else "cpu", options.compiled)
    for line in report:
        print(line)
    return 0


def sample(sets: Sequence[PairSet], count: int) -> tuple[list[Prompted], np.ndarray[Any, Any]]:
    """Return a seeded sample of the training functions of all sets; with repetitions if there are too few."""
    functions = [function for pairs in sets for function in pairs.train]
    signals = np.concatenate([pairs.signals for pairs in sets])
    random = np.random.Generator(np.random.PCG64(1))
    chosen = random.permutation(len(functions))[:count]
    if len(chosen) < count:
        chosen = np.concatenate([chosen, random.integers(0, len(functions), size=count - len(chosen))])
    return [functions[i] for i in chosen], signals[chosen]


def random_model(folder: Path, architecture: str, functions: Sequence[Prompted]) -> Path:
    """Save a model as a hub would: Qwen2 with random weights, and a byte-level tokenizer trained on these prompts."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    hidden, intermediate, layers, heads, key_value_heads = ARCHITECTURES[architecture]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|endoftext|>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator((render_prompt(function) for function in functions), trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>", model_max_length=32_768
    )
    config = Qwen2Config(
        vocab_size=151_936 if architecture == "1.5B" else len(wrapped),
        hidden_size=hidden,
        intermediate_size=intermediate,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_value_heads,
        max_position_embeddings=32_768,
        tie_word_embeddings=True,
        pad_token_id=wrapped.pad_token_id,
        eos_token_id=wrapped.eos_token_id,
        dtype="bfloat16",
    )
    torch.manual_seed(1)
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    wrapped.save_pretrained(folder)
    return folder


def measure(
    model: Path, functions: Sequence[Prompted], signals: Any, steps: int, device: str, compiled: bool
) -> list[str]:
    """Return the lines of the report. Raises SystemExit if training has no effect."""
    from pipeline.finetuning.batches import plan_steps
    from pipeline.finetuning.events import TrainingEvent, TrainingStep
    from pipeline.finetuning.training.device import device_name
    from pipeline.finetuning.training.load_model import load_model, size_of
    from pipeline.finetuning.training.loop import train
    from pipeline.finetuning.training.score import score

    recipe = FinetuneRecipe(base_model=BaseModel(str(model)), seeds=(1,), epochs=EPOCHS, compiled=compiled)
    if device == "cpu":
        recipe = replace(recipe, max_tokens=256, micro_batch_tokens=2_048)
    peak = matrix_product_peak(device)
    began = time.perf_counter()
    loaded = load_model(recipe, functions, (), device)
    load_s = time.perf_counter() - began
    lengths = [len(sequence) for sequence in loaded.train]
    size = size_of(loaded.ranker)
    whole = len(plan_steps(lengths, signals, recipe, 1))
    steps_seen: list[TrainingStep] = []

    def watch(event: TrainingEvent) -> None:
        if isinstance(event, TrainingStep):
            synchronise(device)
            steps_seen.append(event)

    warm = min(5, steps)
    train(
        loaded.ranker, loaded.train, signals, recipe,
        seed=1, device=device, clock=time.perf_counter, steps=warm, planned=whole, watch=watch,
    )  # fmt: skip
    steps_seen.clear()
    loaded.ranker.reset(1)
    synchronise(device)
    began = time.perf_counter()
    trained = train(
        loaded.ranker, loaded.train, signals, recipe,
        seed=1, device=device, clock=time.perf_counter, steps=min(steps, whole), planned=whole, watch=watch,
    )  # fmt: skip
    synchronise(device)
    train_s = time.perf_counter() - began
    check(steps_seen)
    began = time.perf_counter()
    score(loaded.ranker, loaded.train, micro_batch_tokens=recipe.micro_batch_tokens, device=device)
    synchronise(device)
    score_s = time.perf_counter() - began
    training, scoring = trained.tokens / train_s, sum(lengths) / score_s
    train_flops = size.training_flops(lengths) / sum(lengths)
    score_flops = size.forward_flops(lengths) / sum(lengths)
    validated = recipe.validations * min(1.0, MAX_VALIDATED / len(lengths))
    job_s = 2 * whole / len(steps_seen) * train_s + (1 + validated) * score_s
    lines = [
        f"device: {device_name(device)}; matrix product ({'bf16' if device == 'cuda' else 'float32'}): "
        f"{peak / 1e12:.2f} TFLOP/s",
        f"model: {size.parameters / 1e6:,.0f} M parameters without embeddings; loaded in {load_s:.1f} s",
        f"pairs: {len(lengths):,}, {sum(lengths):,} tokens, median {int(np.median(lengths))}; "
        f"{whole} steps in {EPOCHS} epochs",
        f"training: {training:,.0f} tokens/s, {train_flops * training / 1e12:.2f} TFLOP/s, "
        f"{train_flops * training / peak:.0%} of the peak; padding {trained.padding_share:.1%}",
        f"scoring: {scoring:,.0f} tokens/s, {score_flops * scoring / 1e12:.2f} TFLOP/s, "
        f"{score_flops * scoring / peak:.0%} of the peak",
        f"loss: {mean(s.loss for s in steps_seen[:5]):.3f} to {mean(s.loss for s in steps_seen[-5:]):.3f}; "
        f"gradient norm at least {min(s.gradient_norm for s in steps_seen):.2g}",
        f"whole job (choose steps, fit again, score): {job_s / 60:.1f} min at most (aim {JOB_MINUTES:g})",
    ]
    if "H200" in device_name(device):
        lines += [f"aim, {name}: at least {low:,} tokens/s, goal {goal:,}" for name, (low, goal) in AIMS.items()]
    else:
        lines.append("the aims are for one H200 and do not apply to this device")
    return lines


def check(steps: Sequence[Any]) -> None:
    """Raise SystemExit if a gradient is zero or the loss did not fall."""
    if min(step.gradient_norm for step in steps) <= 0:
        raise SystemExit("a gradient is zero: nothing is trained")
    quarter = max(1, len(steps) // 4)
    first, last = mean(s.loss for s in steps[:quarter]), mean(s.loss for s in steps[-quarter:])
    if not last < first:
        raise SystemExit(f"the loss does not fall: {first:.4f} in the first quarter, {last:.4f} in the last")


def matrix_product_peak(device: str) -> float:
    """Return the FLOP/s of a square matrix product, the best of several."""
    import torch

    side, dtype = (8_192, torch.bfloat16) if device == "cuda" else (1_024, torch.float32)
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(10):
        synchronise(device)
        began = time.perf_counter()
        left @ right
        synchronise(device)
        best = max(best, 2 * side**3 / (time.perf_counter() - began))
    return best


def synchronise(device: str) -> None:
    """Wait for the GPU to finish."""
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())
