"""Carry out a run: many jobs at once, each along its life, within the limits.

scheduler.py   many jobs: who starts next, and when the run has ended
tracks.py      the models of a run, each with its lane and its due jobs
pending.py     the due jobs of one model, read a page at a time
canary.py      first one job of a sweep, or a few
limits.py      how many at once, how fast, and slower after a 429: arithmetic
turns.py       which model starts its next job: pure
carrying.py    one job, from due to its result at the vendor
readying.py    before a submit: inputs are looked at, other jobs' results are put in
chaining.py    which file of another job a reference means: pure
retries.py     jobs that nobody could look at wait for another look
submitting.py  one job: intent, submit, answer, each durable before the next
wire.py        owner of the POSTs: what is on its way is recorded, however the run ends
following.py   one request: asked until it ends
fetching.py    results: a pool of downloads of its own
verdicts.py    what to do after an answer: pure
polling.py     when to ask next: pure
backoff.py     how long to wait after trouble: pure
breaker.py     when trouble is no longer one job's: pure
budget.py      money reserved before it can be spent
control.py     whether the run goes on, and who is told; drain.py lets go of what can wait
blocked.py     how many jobs are blocked
events.py      what happened, for screens and logs
ports.py       API, files and chance, as the engine sees them
"""
