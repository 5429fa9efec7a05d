"""The option `--recipe`: a label recipe by its name."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.label_recipe import RECIPES, LabelRecipe, recipe_named
from pipeline.records import AssayError

NAMES = " or ".join(recipe.name for recipe in RECIPES.values())

RecipeName = Annotated[
    str | None,
    typer.Option("--recipe", metavar="NAME", help=f"Label recipe: {NAMES} (api: issues, pull requests, labels)."),
]


def parse_recipe(name: str) -> LabelRecipe:
    """Return the label recipe with this name. Raises AssayError listing the names."""
    recipe = recipe_named(name)
    if recipe is None:
        raise AssayError(f"--recipe must be {NAMES}, not {name[:40]!a}")
    return recipe
