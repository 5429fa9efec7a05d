"""Headings and lists of a check run's Markdown."""

from __future__ import annotations

from collections.abc import Iterable


def section(heading: str, *paragraphs: str) -> str:
    """A heading with what is under it; nothing without anything under it."""
    return joined(f"### {heading}", *paragraphs) if any(paragraphs) else ""


def bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def joined(*parts: str) -> str:
    """Paragraphs, but for the empty ones."""
    return "\n\n".join(part for part in parts if part)
