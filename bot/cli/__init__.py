"""The `assay` command: one file a command, all of them registered in `main`."""
