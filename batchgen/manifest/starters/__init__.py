"""What `batchgen init` writes: a commented manifest, or one that fits a model or a data file."""
