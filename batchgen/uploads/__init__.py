"""The user's own files on their way to the vendor: read, checked, fitted, uploaded.

sending.py      a request's body with its files in it, as data: URIs
preparing.py    one file: read whole, compared with its hash, decoded
fitting.py      a smaller copy of a picture
byte_budget.py  how many bytes of bodies exist at once
outcomes.py     why a file is not sent

Nothing here submits or knows the state.

local_files.py   what is known of a file on this disk: its hash, type and size
"""
