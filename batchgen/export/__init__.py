"""State → datasets: image and video folders, WebDataset, Parquet, JSON Lines.

It reads the state, never the engine. exporting.py carries an export out in three steps: all rows
are planned at one moment and written into the export's own journal; each *unit* (a file, a shard, a
list) is made aside and renamed into place; what an earlier export left and nobody wants any more
goes. A unit that the journal knows, unchanged, is not made again: so the same command continues
what was interrupted, and brings a finished export up to date.

Two exports of one state give the same bytes: order, names, times and owners come from the state or
are constants. The journal, in a hidden folder that loaders leave alone, is no part of the dataset.
"""
