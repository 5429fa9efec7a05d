"""Label recipes: all choices that change a density, frozen and identified by a short hash.

Densities and thresholds are comparable only within one label recipe.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.records import DAY_S, Curve

# Incremented whenever mining would compute another number for the same history. What an earlier version did stays in
# the code: a server that is pinned to a recipe of that version computes the same numbers after an upgrade.
MINER_VERSION = 2

# The grammar packages that determine functions. pyproject.toml pins the same versions (tested).
GRAMMARS = (
    ("tree-sitter", "0.26.1"),
    ("tree-sitter-c", "0.24.2"),
    ("tree-sitter-c-sharp", "0.23.5"),
    ("tree-sitter-cpp", "0.23.4"),
    ("tree-sitter-go", "0.25.0"),
    ("tree-sitter-java", "0.23.5"),
    ("tree-sitter-javascript", "0.25.0"),
    ("tree-sitter-kotlin", "1.1.0"),
    ("tree-sitter-php", "0.25.1"),
    ("tree-sitter-python", "0.25.0"),
    ("tree-sitter-ruby", "0.23.1"),
    ("tree-sitter-rust", "0.24.2"),
    ("tree-sitter-typescript", "0.23.2"),
)


@dataclass(frozen=True)
class LabelRecipe:
    """The label rules (docs/development/design.md, "Recipe"). Times in days, weights in units of credit."""

    name: str = "messages"
    evidence_sources: tuple[str, ...] = ("messages",)
    # Windows
    training_days: int = 730
    horizon_days: int = 365
    history_share: float = 2 / 3  # maximum of W + H as a share of the age of the first-parent chain
    shortest_training_days: int = 180
    alive_share: float = 0.30  # functions alive at T_train, as a share of those alive at T_eval
    shrink: float = 0.9  # factor per step while too few are alive
    outlier_days: int = 30
    neighbours: int = 11
    # Functions
    shortest_function_lines: int = 3
    same_name_similarity: float = 0.5
    other_name_similarity: float = 0.75
    short_function_tokens: int = 20  # shorter functions match by equal tokens only
    file_similarity: float = 0.5
    # Evidence
    weights: tuple[tuple[str, float], ...] = (("issue", 1.0), ("label", 1.0), ("prefix", 0.7), ("keyword", 0.7))
    # Credit
    subsystem_merge_commits: int = 50  # a larger landing is credited commit by commit
    most_files: int = 20  # a unit that changes more files gives no credit
    most_functions: int = 20
    series_gap_s: int = 5  # first-parent commits of one author this close together are one rebased landing
    # Signal
    curve: Curve = "relative"
    scale_top: int = 10
    # Files that mining skips: deterministic limits, not time limits
    most_file_bytes: int = 1 << 20
    longest_mean_line: int = 400  # bytes; files with longer lines are minified
    miner_version: int = MINER_VERSION
    grammars: tuple[tuple[str, str], ...] = GRAMMARS

    def weight(self, kind: str) -> float:
        return dict(self.weights)[kind]

    @property
    def id(self) -> str:
        """12 hexadecimal digits of the SHA-256 of the canonical JSON."""
        canonical = json.dumps(dataclasses.asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    @property
    def facts_id(self) -> str:
        """The id of the recipe without its evidence sources, on which the facts cached by mining do not depend."""
        plain = LabelRecipe()
        return dataclasses.replace(self, name=plain.name, evidence_sources=plain.evidence_sources).id

    @property
    def reads_tracker(self) -> bool:
        """Whether issues, pull requests and labels are evidence, too."""
        return self.evidence_sources != ("messages",)

    @property
    def default_window_s(self) -> int:
        return (self.training_days + self.horizon_days) * DAY_S


_API_SOURCES = ("messages", "issues", "pull requests", "labels")

MESSAGES = LabelRecipe(name="messages/2")
MESSAGES_API = LabelRecipe(name="messages+api/2", evidence_sources=_API_SOURCES)
# Recipes of earlier versions, for servers that are pinned to them.
MESSAGES_1 = LabelRecipe(miner_version=1)
MESSAGES_API_1 = LabelRecipe(name="messages+api", evidence_sources=_API_SOURCES, miner_version=1)

RECIPES = MappingProxyType(  # all recipes by id
    {recipe.id: recipe for recipe in (MESSAGES, MESSAGES_API, MESSAGES_1, MESSAGES_API_1)}
)


def by_messages(recipe: LabelRecipe) -> LabelRecipe:
    """Return the recipe of the same version whose evidence is commit messages alone."""
    return MESSAGES_1 if recipe.miner_version == 1 else MESSAGES


def with_tracker(recipe: LabelRecipe) -> LabelRecipe:
    """Return the recipe of the same version that reads issues, pull requests and labels, too."""
    return MESSAGES_API_1 if recipe.miner_version == 1 else MESSAGES_API


def recipe_named(name: str) -> LabelRecipe | None:
    """Return the recipe with this name, None if there is none."""
    return next((recipe for recipe in RECIPES.values() if recipe.name == name), None)


# A ranking is evaluated on its holdout: 40 % of the functions alive at T_eval.
HOLDOUT_SHARE = 0.4
MIN_HELD_OUT = 200
MIN_HELD_OUT_POSITIVES = 20

BOOTSTRAP_RESAMPLES = 1_000
BOOTSTRAP_SEED = 20_260_101
