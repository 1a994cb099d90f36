"""Heavy work on a Ray cluster: the workers of `--ray`, on this machine or on many.

address.py     what `--ray` names
client.py      the cluster as batchgen sees it: work in, results out, and what is wrong with it
driver.py      the process that imports Ray; it gets no token, and the cluster ends with it
nodes.py       which nodes get work: those that have the same versions and see the folders
downloads.py   one file's whole download, in one piece of work

Nothing else imports Ray. What a worker runs is the same code that runs without it.
"""
