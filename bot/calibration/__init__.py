"""The threshold of an installation: the shipped seed, what was measured here, and what others share."""
