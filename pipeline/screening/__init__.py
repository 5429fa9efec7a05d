"""Screening: windows, signal, density, measurement and verdict."""
