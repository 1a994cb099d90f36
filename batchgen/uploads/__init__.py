"""The user's own files on their way to the vendor: read, checked, fitted, uploaded.

local_files.py     what is known of a file on this disk: its hash, type and size
sending.py         a request's body with its files in it, as data: URIs
bucket_sending.py  a body with URLs of files in a bucket, each content uploaded once
buckets.py         S3, Google Cloud Storage, Azure, and the emulator in their place
preparing.py       one file: read whole, compared with its hash, decoded
fitting.py         a smaller copy of a picture
heic.py            the pictures of phones, if pillow-heif is installed
outcomes.py        why a file is not sent

Nothing here submits or knows the state.
"""
