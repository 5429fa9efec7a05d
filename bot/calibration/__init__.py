"""The threshold of an installation, from the shipped seed, its own outcomes and outcomes that others share."""
