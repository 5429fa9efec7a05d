"""From a history to function touches: objects, trees, hunks, functions, lineages and fix evidence."""
