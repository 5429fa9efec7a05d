"""The App: what talks to people and to GitHub. Imports `pipeline`, which never imports it."""

__version__ = "0.1.0"
