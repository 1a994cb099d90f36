"""What each model takes and makes, from the schemas as RunComfy publishes them.

To add a model, put its published schema into `schemas/` under its id; no code is needed.
"""
