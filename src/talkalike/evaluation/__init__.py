"""Is it better? Measures of a model against what people really wrote, as numbers with intervals and as a report."""
