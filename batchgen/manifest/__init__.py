"""A YAML manifest → checked jobs, as a stream.

`header.read_manifest` reads the header, `stream.checked_jobs` streams the jobs; both report
problems to one `problems.ProblemLog`.

parsing/              YAML text → nodes that know their place in the file
header.py             everything but the jobs; header_checks.py: what its schema cannot check
policy.py             `run:` and `output:`, with the table of settings; units.py: 60/min, 1h30m
scope.py              what a file provides for its jobs: defaults, variables, includes
items.py              one entry of `jobs`; sweeps.py: its cells, from matrix.py and rows/
job_builder.py        a cell → a checked job, with compiled_input.py, dependencies.py, templates/
literal_jobs.py       an entry without templates → its job, in one step
local_files.py        paths of the user's own files in inputs
naming.py             file names of a job; job_ids.py: its id; identifiers.py: rules of ids and tags
stray_templates.py    texts that are likely mistakes, such as a template where none is read
problem_location.py   where a problem of a cell is reported; problems.py collects them all
schema_validation.py  the manifest's own schema; editor_schema.py: the models' part of it
starters/             what `batchgen init` writes
"""
