"""Function touches to a density, a density to a verdict: windows, signal, calibration, screener, ledger, seed data."""
