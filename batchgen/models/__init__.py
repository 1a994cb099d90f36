"""What each model takes and gives, from the schemas as RunComfy publishes them.

Another published schema put into `schemas/` under its model id works without code.
"""
