"""The memory of a run: one SQLite file. Only this room imports sqlite3 and opens transactions.

Tables:

schema.sql        tables, views, and the triggers that keep `waiting`, `needed` and
                  `blocked` true
records.py        a record for each table, the views that others need, and their columns in SQL
conditions.py     conditions that several questions share: due, visible, troubled
database.py       opening, transactions, and what SQLite's errors mean; meta.py: facts about the run
triggers.py         the triggers of schema.sql, made for other tables or switched off for a while

From a manifest:

staging.py        checked jobs wait here; staged_checks.py: duplicates, missing needs, cycles
difference.py     today's manifest beside the state: new, changed, renamed, gone
reconcile.py      a run applies the difference; file_names.py: no two files share a name
planned.py        a plan counts it, and changes nothing; plan_counts.py: the figures
appending.py      the later pages of a huge first manifest, while its first jobs are under way

While a run goes on:

store.py          what the engine calls, each a durable step; writer.py: group commit
due.py            what may be submitted; transitions.py: every change of a job's state
files.py          a request's files, from their URLs to verified files; input images

For people:

selection.py      which jobs a command is about; causes.py: why jobs are not done
manual_actions.py resolve, retry, cancel, approve; approvals.py: what waits at a gate
reviews.py        picks and flaws
queries.py        counts, jobs and failures; costs.py: money
results.py        jobs one by one, and the files of a dataset; report_queries.py: the page
reuse.py          results of other runs that jobs take, and what others may take of this one
result_index.py   where the results of all runs are, by what was asked for
account.py        limits that runs of one account share; fair_shares.py: who gets what: pure
local_file_cache.py   what is known of the user's own files, so that they are not read twice
recovery.py       requests that a log names and the state has lost
"""
