"""Functions to scores, scores to how good they are: metrics, holdout, baseline, competitors, statistics."""
