"""Mine a history: the credit, fixes and process metrics of every function."""
