"""Where the results of a run are: a folder of this machine, or a bucket.

locations.py   which of the two, as text in a manifest and as a value for another process
results.py     what every command does with them: read, list, measure, move aside
folders.py     results in a folder
buckets.py     results in a bucket, each stored whole under its name or not at all
stamps.py      what is known of a stored file
half_uploads.py  parts of large objects that a process left when it died
opening.py     clients of Amazon S3 and what speaks like it, Google Cloud Storage and Azure

Nothing here knows the state, the engine or the vendor.
"""
