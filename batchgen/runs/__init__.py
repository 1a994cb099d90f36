"""One run of a manifest: its folder, its lock, what is prepared, carried out and summed up.

api.py         what other programs call; the commands call it too
options.py     what may be asked of a run
prepare.py     manifest → checked jobs in the state; whole.py: what only all of them show
opening.py     what there is before a run: fingerprint.py: has anything changed since the last one
intake.py      the jobs of a huge first run, read while it goes on
carry_out.py   a run from its beginning to its summary
at_work.py     API, downloads, engine and signals together
inputs/        the pictures behind an input's URLs, looked at before money is spent
folder.py      where everything of a run lies; lock.py: one runner at a time
provider.py    the vendor or the emulator, and never the one for the other
prices.py      what a request costs, where a budget asks
repairing.py   files fetched again without paying; verifying.py, strays.py: what is on the disk
bringing_home.py  downloads by saved requests, and nothing else
original.py    a state file, and never a copy of it unasked
plans/         what a run would do, cost and change
decisions.py   what people decide, taken up by the one writer
receipts.py    the last trace of a paid request when the state file fails
metadata.py    metadata.jsonl; journal.py: run.log; lines.py: how both grow
signals.py     Ctrl-C and SIGTERM
notifying.py   who hears of a run, and when; told.py: in which words
words.py       counts, money and durations in words
summary.py     how it ended, and the exit code
"""
