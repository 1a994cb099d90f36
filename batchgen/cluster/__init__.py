"""Heavy work on a Ray cluster: the workers of `--ray`, on this machine or on many.

address.py     what `--ray` names
client.py      the cluster as batchgen sees it: work in, results out, and what is wrong with it
driver.py      the process that imports Ray; it gets no token, and the cluster ends with it
nodes.py       whether each node can do the work: its versions, and the folders that it sees
downloads.py   one file's whole download, in one piece of work

Nothing else imports Ray. What a worker runs is the same code that runs without it.
"""
