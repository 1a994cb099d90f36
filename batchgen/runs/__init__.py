"""One run of a manifest, from start to summary; and everything else that is done with its folder.

The way of a run, from top to bottom:

api.py            what other programs call; the commands call it too
execute.py        a run from start to summary: engine, downloads, signals together
startup.py        manifest checked, lock taken, state opened and reconciled
prepare.py        manifest → checked jobs; cross_job_checks.py: problems between jobs
workload.py       what there is to do, in one transaction before the first request
ports.py          opens the API or the emulator, downloads, input images; open_files.py: limits
ingest.py         the jobs of a huge first run, read while it goes on
supervision.py    while a run goes on: decisions of people, a folder that vanishes
summary.py        how it ended, and the exit code; results.py: each job's files and costs

What it is built on:

context.py        `open_run` opens a run for a command; options.py: what may be asked of a run
folder.py         the paths of a run's files, and its lock
ownership.py      whose state file this is: provider, manifest, no copy
fingerprint.py    has anything changed since the last run

A plan, in this order: vendor_facts.py asks the vendor, drift.py compares schemas, estimates.py
has prices and times, planning.py puts them together, plan.py is the document.

decisions.py      what people decide, from a command; decision_log.py: decisions.jsonl itself
tuning.py         limits of the run in progress: what is in force, and how it is changed
input_images.py   the images behind an input's URLs, probed before money is spent; input_survey.py
repair.py         redownload without paying; verify.py: the files on the disk; cancel.py
lost_state.py     requests that the state does not know; last_run.py, recovery_log.py: their traces
journal.py        run.log and metadata.jsonl; append_log.py: how both grow
account.py        limits that runs of one account share: their file, and who is alive
reuse.py          results of other runs, found for a run
reuse_index.py    the index of results: kept up by each run, and made anew
notifications.py  who is notified of a run, and when
"""
