"""The page that goes with an adapter: what was learned from is named by its hash, never by a path, a name or code."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from pipeline.finetuning.recipe import BaseModel, FinetuneRecipe
from pipeline.records import OutcomeKind

_NONE = "–"
_LONGEST_WORD = 200
_FIRST_S, _LAST_S = -62_135_596_800, 253_402_300_799  # the years 1 and 9999

_INTENDED = """\
It orders the functions of one repository by how likely they are to need a bug fix, so that a reviewer knows where to
look first. A score is no probability and means nothing beside the score of another repository."""

_LIMITS = """\
- It was trained on the history of one repository{judged}. Do not use it for another.
- Labels come from commit messages: a fix that nobody called a fix counts as none.
- It is not meant to judge people, to block a merge, or to certify that code without a high score is sound.
- It reads path, name, structure and source of a function, cut to {tokens:,} tokens; nothing of its history."""


@dataclass(frozen=True, slots=True)
class CardScore:
    """How one ranking did on the holdout."""

    name: str
    rho: float | None
    low: float | None = None  # 95 %
    high: float | None = None


@dataclass(frozen=True, slots=True)
class CardMetrics:
    """The judgement of a run. The adapter of one seed is a part of what was judged: the average over all seeds."""

    outcome: OutcomeKind
    n: int  # held-out functions
    positives: int
    scores: tuple[CardScore, ...]  # adapter, baseline, cheap scorers
    delta: float | None = None  # ρ of the adapter minus that of the baseline
    delta_low: float | None = None
    delta_high: float | None = None
    rho_max: float | None = None
    control: str = ""  # what was spoilt on purpose: then there is nothing to use


@dataclass(frozen=True, slots=True)
class Refit:
    """That an adapter was trained once more, on the latest window, after a run of the same recipe had won."""

    judged_by: str  # that run, by the name it has where it is kept
    judged_at: str  # ISO 8601
    judged_head_sha: str
    labels_until: int  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an adapter comes from."""

    repo: str
    head_sha: str
    pair_set_id: str  # of what was trained on: where `refit` is set the id of a ranking set
    label_recipe_id: str
    seed: int
    trained_on: int  # functions
    repository_id: int | None = None  # GitHub's, where it is known
    config_hash: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)  # of assay, torch, transformers, peft, ...
    refit: Refit | None = None  # none: the adapter was judged itself


def render_model_card(recipe: FinetuneRecipe, provenance: Provenance, metrics: CardMetrics) -> str:
    """The README.md of an adapter directory, in Markdown with the header that model hubs read."""
    parts = (
        _header(recipe),
        f"# Defect ranking for {_word(provenance.repo)}",
        _warning(metrics),
        _unjudged(provenance.refit),
        f"## Intended use\n\n{_INTENDED}",
        f"## Limits\n\n{_limits(recipe, provenance)}",
        f"## Metrics\n\n{_judged(metrics, provenance)}\n\n{_scores(metrics)}",
        f"## Recipe\n\n{_table(('setting', 'value'), _settings(recipe, provenance))}",
        f"## Provenance\n\n{_table(('what', 'value'), _origin(provenance))}",
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(recipe: FinetuneRecipe) -> str:
    # JSON is YAML, and has one way to quote.
    base = json.dumps(model_name(recipe.base_model))
    return f"---\nbase_model: {base}\ntags: [assay, lora, defect-ranking]\n---"


def _warning(metrics: CardMetrics) -> str:
    if metrics.control:
        return f"**A control run ({_plain(metrics.control)}): made to fail, not to be used.**"
    if metrics.outcome == "WIN":
        return ""
    return f"**{metrics.outcome}: this adapter was not shown to rank better than the baseline, which costs nothing.**"


def _unjudged(refit: Refit | None) -> str:
    if refit is None:
        return ""
    return (
        f"**Trained once more on all labels up to {_day(refit.labels_until)}; never judged itself.** Judged was run "
        f"{_word(refit.judged_by)} ({_plain(refit.judged_at)}): the same recipe on an earlier window, at commit "
        f"{_word(refit.judged_head_sha)}."
    )


def _limits(recipe: FinetuneRecipe, provenance: Provenance) -> str:
    judged = " and judged by the same one" if provenance.refit is None else ""
    return _LIMITS.format(tokens=recipe.max_tokens, judged=judged)


def _judged(metrics: CardMetrics, provenance: Provenance) -> str:
    ceiling = "" if metrics.rho_max is None else f" With ties among the labels ρ can reach {metrics.rho_max:.3f}."
    delta = _with_interval(metrics.delta, metrics.delta_low, metrics.delta_high, "+")
    return (
        f"Outcome: {metrics.outcome}. Spearman's ρ with the fixes of the horizon on {metrics.n:,} held-out functions, "
        f"{metrics.positives:,} of them fixed; 95 % intervals from a bootstrap clustered by file. Δρ against the "
        f"baseline: {delta}.{ceiling} The adapter's score is the rank average over all seeds of the run; "
        f"{_held(provenance)}"
    )


def _held(provenance: Provenance) -> str:
    if provenance.refit is None:
        return "this directory holds one of them."
    return "this directory holds none of them, but what one of its seeds learned later."


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
        ("configuration", _word(provenance.config_hash) if provenance.config_hash else "none of its own"),
        *((_plain(name), _plain(version)) for name, version in sorted(provenance.versions.items())),
    ]


def model_name(model: BaseModel) -> str:
    """A name on a hub; of a directory only its last part: where it lies is nobody's business."""
    return model.name if model.revision else model.family


def _day(seconds: int) -> str:
    """`2024-05-01`; a time outside our calendar becomes the nearest inside."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=min(max(seconds, _FIRST_S), _LAST_S))
    return moment.date().isoformat()


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = (head, ("---",) * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _word(text: str) -> str:
    """Text of others as code that ends nowhere early: no back-tick, no pipe, nothing that does not print."""
    kept = "".join(c if c.isprintable() and c not in "`|\\" else "?" for c in text[:_LONGEST_WORD])
    return f"`{kept or '?'}`"


def _plain(text: str) -> str:
    """Text of others as words: what Markdown or HTML would read as markup becomes a question mark."""
    return re.sub(r"[^\w .,:;+()%Δρα@/-]", "?", text[:_LONGEST_WORD])


def _number(value: float | None, sign: str = "") -> str:
    return _NONE if value is None else f"{value:{sign}.3f}"


def _interval(low: float | None, high: float | None, sign: str = "") -> str:
    return _NONE if low is None or high is None else f"{_number(low, sign)} to {_number(high, sign)}"


def _with_interval(value: float | None, low: float | None, high: float | None, sign: str = "") -> str:
    return _NONE if value is None else f"{_number(value, sign)} ({_interval(low, high, sign)})"
