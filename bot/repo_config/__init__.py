"""A repository's own configuration, `.github/assay.yml`: one table of keys, a parser, precedence, a schema. No I/O."""
