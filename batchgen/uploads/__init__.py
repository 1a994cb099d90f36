"""The user's own files on their way to the vendor: read, checked, fitted, uploaded.

Nothing here submits or knows the state.

local_files.py   what is known of a file on this disk: its hash, type and size
"""
