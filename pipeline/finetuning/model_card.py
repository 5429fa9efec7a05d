"""Render the model card of an adapter; training data appear as hashes only, never as paths, names or code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.records import OutcomeKind

_NONE = "–"
_MAX_LENGTH = 200
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799  # the years 1 and 9999

_INTENDED = """\
Rank the functions of one repository by how likely they are to need a bug fix, so that reviewers know where to look
first. A score is not a probability, and scores of different repositories cannot be compared."""

_LIMITS = """\
- It was trained{evaluated} on the history of one repository. Do not use it for another one.
- Labels come from commit messages: a fix that is not described as one does not count.
- It is not meant to judge people, to block merges, or to certify that code with a low score is sound.
- It reads the path, name, structure and source of a function, cut to {tokens:,} tokens; nothing of its history."""


@dataclass(frozen=True, slots=True)
class CardScore:
    """The quality of one ranking on the holdout."""

    name: str
    rho: float | None
    low: float | None = None  # 95 %
    high: float | None = None


@dataclass(frozen=True, slots=True)
class CardMetrics:
    """The result of a run. It was measured on the average over all seeds, of which an adapter is one part."""

    outcome: OutcomeKind
    n: int  # held-out functions
    positives: int
    scores: tuple[CardScore, ...]  # adapter, baseline, cheap scorers
    delta: float | None = None  # ρ of the adapter minus that of the baseline
    delta_low: float | None = None
    delta_high: float | None = None
    rho_max: float | None = None
    control: str = ""  # what was corrupted on purpose; such an adapter is useless


@dataclass(frozen=True, slots=True)
class Refit:
    """The winning run behind an adapter that was retrained on the latest window with the same recipe."""

    judged_by: str  # name of that run in its store
    judged_at: str  # ISO 8601
    judged_head_sha: str
    labels_until: int  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of an adapter."""

    repo: str
    head_sha: str
    pair_set_id: str  # of the training data; with `refit`, the id of a ranking set
    label_recipe_id: str
    seed: int
    trained_on: int  # functions
    repository_id: int | None = None  # GitHub's, if known
    config_hash: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)  # of assay, torch, transformers, peft, ...
    refit: Refit | None = None  # None: the adapter was evaluated itself


def render_model_card(recipe: FinetuneRecipe, provenance: Provenance, metrics: CardMetrics) -> str:
    """Render the README.md of an adapter directory: Markdown with the header that model hubs read."""
    parts = (
        _header(recipe),
        f"# Defect ranking for {_word(provenance.repo)}",
        _warning(metrics),
        _refit_note(provenance.refit),
        f"## Intended use\n\n{_INTENDED}",
        f"## Limits\n\n{_limits(recipe, provenance)}",
        f"## Metrics\n\n{_summary(metrics, provenance)}\n\n{_scores(metrics)}",
        f"## Recipe\n\n{_table(('setting', 'value'), _settings(recipe, provenance))}",
        f"## Provenance\n\n{_table(('what', 'value'), _origin(provenance))}",
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(recipe: FinetuneRecipe) -> str:
    # JSON is valid YAML and has only one way to quote.
    base = json.dumps(model_name(recipe.base_model))
    return f"---\nbase_model: {base}\ntags: [assay, lora, defect-ranking]\n---"


def _warning(metrics: CardMetrics) -> str:
    if metrics.control:
        return f"**Control run ({_plain(metrics.control)}): meant to fail. Do not use this adapter.**"
    if metrics.outcome == "WIN":
        return ""
    return f"**{metrics.outcome}: this adapter was not shown to rank better than the baseline, which is free.**"


def _refit_note(refit: Refit | None) -> str:
    if refit is None:
        return ""
    return (
        f"**Retrained on all labels up to {_day(refit.labels_until)}; not evaluated itself.** The metrics are those of "
        f"run {_word(refit.judged_by)} ({_plain(refit.judged_at)}), which used the same recipe on an earlier window, "
        f"at commit {_word(refit.judged_head_sha)}."
    )


def _limits(recipe: FinetuneRecipe, provenance: Provenance) -> str:
    evaluated = " and evaluated" if provenance.refit is None else ""
    return _LIMITS.format(tokens=recipe.max_tokens, evaluated=evaluated)


def _summary(metrics: CardMetrics, provenance: Provenance) -> str:
    ceiling = (
        "" if metrics.rho_max is None else f" Because of ties among the labels, ρ cannot exceed {metrics.rho_max:.3f}."
    )
    delta = _with_interval(metrics.delta, metrics.delta_low, metrics.delta_high, "+")
    return (
        f"Outcome: {metrics.outcome}. Spearman's ρ with the fixes in the horizon, over {metrics.n:,} held-out "
        f"functions, {metrics.positives:,} of them fixed; 95 % intervals from a bootstrap clustered by file. Δρ "
        f"against the baseline: {delta}.{ceiling} The adapter's score is the rank average over all seeds of the run; "
        f"{_content(provenance)}"
    )


def _content(provenance: Provenance) -> str:
    if provenance.refit is None:
        return "this directory holds one of them."
    return "this directory holds a retrained version of one of them."


def _scores(metrics: CardMetrics) -> str:
    rows = [(_plain(s.name), _number(s.rho), _interval(s.low, s.high)) for s in metrics.scores]
    return _table(("ranking", "ρ", "95 %"), rows)


def _settings(recipe: FinetuneRecipe, provenance: Provenance) -> list[tuple[str, str]]:
    return [
        ("recipe id", _word(recipe.recipe_id(provenance.label_recipe_id))),
        ("label recipe id", _word(provenance.label_recipe_id)),
        ("base model", _word(model_name(recipe.base_model))),
        ("revision", _word(recipe.base_model.revision) if recipe.base_model.revision else "a local directory"),
        ("head", recipe.head),
        ("LoRA", f"rank {recipe.lora_rank}, α {recipe.lora_alpha}, dropout {recipe.lora_dropout:g}, all linear layers"),
        ("learning rate", f"{recipe.learning_rate:g}, head {recipe.head_learning_rate:g}"),
        ("epochs", f"at most {recipe.epochs}, batches of {recipe.batch_size}"),
        ("prompt", f"at most {recipe.max_tokens:,} tokens; masked: {recipe.ablation}"),
        ("seed", f"{provenance.seed} of {', '.join(map(str, recipe.seeds))}"),
    ]


def _origin(provenance: Provenance) -> list[tuple[str, str]]:
    known = _NONE if provenance.repository_id is None else str(provenance.repository_id)
    return [
        ("repository", _word(provenance.repo)),
        ("repository id", known),
        ("commit", _word(provenance.head_sha)),
        ("ranking set" if provenance.refit else "pair set", _word(provenance.pair_set_id)),
        ("trained on", f"{provenance.trained_on:,} functions"),
        ("configuration", _word(provenance.config_hash) if provenance.config_hash else "none"),
        *((_plain(name), _plain(version)) for name, version in sorted(provenance.versions.items())),
    ]


def model_name(model: BaseModel) -> str:
    """Return the hub name, or the last part of a directory: its location is private."""
    return model.name if model.revision else model.family


def _day(seconds: int) -> str:
    """Return `2024-05-01`; times outside of the calendar are clamped."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=min(max(seconds, _FIRST_S), _LAST_S))
    return moment.date().isoformat()


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _word(text: str) -> str:
    """Render untrusted text as inline code, without back-ticks, pipes and unprintable characters."""
    kept = "".join(c if c.isprintable() and c not in "`|\\" else "?" for c in text[:_MAX_LENGTH])
    return f"`{kept or '?'}`"


def _plain(text: str) -> str:
    """Render untrusted text as prose; characters of Markdown or HTML markup become question marks."""
    return re.sub(r"[^\w .,:;+()%Δρα@/-]", "?", text[:_MAX_LENGTH])


def _number(value: float | None, sign: str = "") -> str:
    return _NONE if value is None else f"{value:{sign}.3f}"


def _interval(low: float | None, high: float | None, sign: str = "") -> str:
    return _NONE if low is None or high is None else f"{_number(low, sign)} to {_number(high, sign)}"


def _with_interval(value: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    return _NONE if value is None else f"{_number(value, sign)} ({_interval(low, high, sign)})"
