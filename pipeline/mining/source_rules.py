"""The rules that decide which files are product code, for one repository at one head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache

from pipeline.classify.layout import read_layout
from pipeline.classify.overlay import Overlay, OverlayRules
from pipeline.classify.paths import excluded_path
from pipeline.git.objects import ObjectReader
from pipeline.git.packs import ObjectProblem
from pipeline.git.trees import TreeReader
from pipeline.label_recipe import LabelRecipe
from pipeline.mining.source_files import count_source_files
from pipeline.records import SourceFiles
from pipeline.syntax.languages import language_of

_CACHED_PATHS = 1 << 16


class SourceRules:
    """Decide by the path, from version 2 of the rules on also by the layout of the head, and by the overlay."""

    def __init__(self, tree: bytes, reader: ObjectReader, recipe: LabelRecipe, overlay: Overlay) -> None:
        """`tree` is the id of the tree of the head."""
        blobs = TreeReader(reader, lambda path: True).files(tree)
        self._version = recipe.miner_version
        self.rules = OverlayRules(overlay, lru_cache(maxsize=_CACHED_PATHS)(_by_default(blobs, reader, recipe)))
        self.excluded = self.rules.excluded
        self.files: SourceFiles = count_source_files(blobs, self.excluded, self._version)

    def is_source(self, path: bytes) -> bool:
        """Return whether a path is product code in a language that is mined."""
        return language_of(path, self._version) is not None and self.excluded(path) is None


def _by_default(
    blobs: Mapping[bytes, bytes], reader: ObjectReader, recipe: LabelRecipe
) -> Callable[[bytes], str | None]:
    """Return the rules for paths. `blobs` are the ids of the files of the head by their path, in any language."""
    if recipe.miner_version < 2:
        return lambda path: excluded_path(path, 1)

    def read(path: bytes) -> bytes | None:
        try:
            return reader.blob(blobs[path], recipe.most_file_bytes)
        except ObjectProblem:
            return None

    return read_layout(blobs, read).excluded
