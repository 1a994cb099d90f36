"""What each model takes and makes, from the schemas as RunComfy publishes them.

catalog.py     the models that a manifest can name: the bundled ones and its own
own_models.py  the models in `schemas/` beside a manifest; adding.py writes them
dialect.py     the published rules in one form, and what of them is not understood
billing.py     how many files and seconds an input asks for

To bundle a model, put its published schema into `schemas/` under its id; no code is needed.
"""
