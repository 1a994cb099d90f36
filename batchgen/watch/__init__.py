"""The report's page, live: served on loopback while a run goes on in another process.

watching.py    polls the state, and which jobs changed when; reader.py: the one thread that reads
events.py      the page and its chunks, then changes as an event stream
picking.py     what people decide in the page, many decisions at a time
previews.py    previews, made when they are asked for
originals.py   whole results, from a folder or through the server from a bucket
server.py      the routes, who may ask, start and end

It reads the state, never the engine; what it needs of the run is in ports.py.
"""
