"""Commands in comments and buttons: grammar, permission, decision."""
