"""Carry out a run: many jobs at once, each along its life, within the limits.

scheduler.py       many jobs: who starts next, and when the run has ended
model_queues.py    the due jobs of each model, read a page at a time; which model is next
canary.py          first one job of a sweep, or a few
carrying.py        the life of one job: ready, submit, follow, hand over
input_resolver.py  before a submit: inputs are probed, other jobs' results are put in
submitting.py      intent, submit, answer, each durable before the next, however the run ends
following.py       one request: polled until it ends
downloads_pool.py  downloads of results; result_hosts.py: hosts that do not answer
decisions.py       what to do after an answer: pure
polling.py         when to poll next: pure
limits.py          how many requests at once, how fast, and slower after a 429: arithmetic
health.py          when trouble is no longer one job's
stop_conditions.py failures, the hour, the disk
budget.py          money reserved before it can be spent
control.py         whether the run goes on; cancels what can wait, never what records
policy.py          how to work, and how long to wait after trouble
events.py          what happened, for screens and logs
ports.py           API, files and chance, as the engine sees them
"""
