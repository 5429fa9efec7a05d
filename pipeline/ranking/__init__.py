"""Ranking functions and files by risk, and evaluating rankings: dataset, holdout, scorers, statistics."""
