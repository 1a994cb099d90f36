"""The user's own files on their way to the vendor: read, checked, fitted, uploaded.

Nothing here submits or knows the state.
"""
