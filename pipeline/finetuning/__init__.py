"""Pairs -> adapter -> outcome: a LoRA adapter of a local language model, and what it is worth."""
