"""Values to HTML, plots, JSON, plain text and Parquet. Computes no figure that a verdict rests on."""
