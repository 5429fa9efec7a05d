"""Reports: values to HTML, plots, JSON, SARIF, Parquet and terminal text. No figure of a verdict is computed here."""
