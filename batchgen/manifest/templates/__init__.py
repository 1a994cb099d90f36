"""Templates in the manifest's texts: compiled once, rendered for each cell, typed by the schema."""
