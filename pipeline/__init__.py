"""From a history to a verdict, a ranking, an adapter. Imports nothing from `bot`."""
