"""The report's page, live: served on loopback while a run goes on in another process.

watching.py    looks at the state, and tells those who wait; reader.py: the one thread that reads
moments.py     two looks → which jobs changed when; figures.py: counts, money, causes, the night
page.py        a state → the page, its head and its chunks; events.py: changes → an event stream
picking.py     what people say in the page → decisions, many at a time
thumbs.py      previews, made when they are asked for; workers.py: the processes that make them
originals.py   a file of the run, safely
guard.py       who may ask; server.py: the routes, and their beginning and end

It reads the state, never the engine; what it needs of the run stands in doors.py.
"""
