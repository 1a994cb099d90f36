"""YAML text → nodes that know their places, a job at a time."""
