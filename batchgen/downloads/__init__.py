"""Fetch and verify: from a result URL to a verified file on disk.

fetch.py          one download from URL to outcome
session.py        its HTTP session, and redirects
allowed_hosts.py  which URLs may be fetched
responses.py      what a response, or an error of the network, means for a download
part.py           the `.part` file and the one way it becomes a finished file
resume.py         what a `.part` allows to be continued: pure
media.py          what the bytes are, and whether all of them decode (pictures.py, videos.py)
decoding.py       the same in another process, for what is large
probe.py          what the first bytes of an input image say
outcomes.py       what became of a download, and how downloads are made
"""
