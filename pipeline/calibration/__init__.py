"""Calibration: from fine-tuning outcomes to the threshold, with the ledger and the shipped seed data."""
