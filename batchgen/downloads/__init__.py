"""Fetch and verify: from a result URL to a verified file on disk.

fetch.py          one download from URL to outcome
session.py        its HTTP session, and redirects
allowed_hosts.py  which URLs may be fetched
responses.py      what a response or a network error means for a download
part.py           the `.part` file and the one way it becomes a finished file
storing.py        the one way it becomes an object of a bucket
verified_part.py  what is noted beside a `.part` until then: pure
adopt.py          a file that another run downloaded, taken instead of a download
resume.py         whether a `.part` can be continued, and where: pure
media.py          what the first bytes say a file is
decoding.py       whether every frame decodes (pictures.py, videos.py), here or in another process
embedding.py      prompt, model, seed and job id as metadata of the file
containers.py     where such metadata goes in each format: pure
headers.py        the type and size of a picture, from its header: pure
probe.py          the size and type of an input image, from its first bytes
outcomes.py       the outcomes and the settings of downloads
"""
