"""The configuration in `.github/assay.yml`: a table of keys, the parser, precedence and a JSON Schema."""
