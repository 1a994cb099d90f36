"""Fetch, verify, name: from a result URL to a verified file on disk.

fetch.py      one download from URL to outcome
answers.py    what an HTTP answer means for a download: pure
look.py       one look at an input image (picture_header.py: what its first bytes say)
session.py    the HTTP session of both, and redirects
resume.py     what a `.part` and its sidecar allow to be continued: pure
part.py       the `.part` file and the one way it becomes a finished file
threads.py    blocking work that a cancellation waits for
files.py      opening plain files, and only those
disk.py       errors of the operating system → the tree of errors
media.py      what bytes are, and whether all of them decode (pictures.py, videos.py)
network.py    errors of the network → why a download was interrupted
hosts.py      which URLs may be fetched; addresses.py which addresses may be connected to
settings.py   how downloads are made
naming.py     any text → a name that every file system takes
outcomes.py   what became of a download
"""
