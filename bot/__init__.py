"""The GitHub App: webhooks, jobs, check runs, comments and commands. Imports `pipeline`, which never imports it."""

__version__ = "0.1.0"
