"""Carry out a run: many jobs at once, each along its life, within the limits.

scheduler.py         many jobs: which starts next, and when the run has ended
lifecycle.py         the life of one job: ready → submit → follow → hand over
context.py           what the parts share: ports, policy, control, health, budget, …

For the lifecycle:

input_resolver.py    before a submit: inputs are probed, other jobs' results and own files filled in
attempt.py           one submit under way; shielded_tasks.py: it outlives the end of the run
posts.py             when a body has gone out, and what a late answer means
following.py         follow: poll a request until it ends, its time is up, or the run ends
followed_request.py  one request while it is followed
handover.py          where a job goes after its task
retry_timers.py      jobs that could not be submitted for now
cancels.py           requests that a person wants cancelled
reuse.py             a job takes the result of another run instead of being submitted
blocked_jobs.py      how many jobs are blocked; settlement.py: a cost that comes late
decisions.py         what to do after an answer: pure
polling.py           when to poll next: pure; paced_api.py: all polls at one pace

For the scheduler:

model_queues.py      the due jobs of each model, read a page at a time
fair_scheduling.py   which model is next: pure
canary.py            first one job of a sweep, or a few
limits.py            how many requests at once, and how fast: arithmetic
ceilings.py          how many the vendor takes at once, as its 429s show it: pure
auto_concurrency.py  how many keep the vendor's workers fed: pure
sharing.py           limits shared with other runs of the account; reserved.py: what this run holds
service_times.py     how long the work takes, and when a look pays: pure
unanswered.py        submits without an answer hold their places
health.py            when trouble is no longer one job's; backoff.py: how long to wait
stop_conditions.py   failures, the hour, the disk
budget.py            money reserved before it can be spent
control.py           pause, drain, and the events for the listener

Downloads:

downloads_pool.py    downloads of results
fetch_decisions.py   what to do after a download: pure
result_hosts.py      hosts that do not answer
host_waits.py       downloads that wait for one of them, or for the bucket
guessed_outputs.py   results under keys that nobody documents

policy.py            how the engine works: limits, deadlines, tries
events.py            what happened, for screens and logs
ports.py             API, files, disk and inputs, as the engine sees them
"""
