"""State → datasets: image and video folders, WebDataset, Parquet, JSON Lines, captions.

It reads the state, never the engine. exporting.py makes an export in three steps: it plans all rows
from one snapshot and stores them in the export's own journal; it makes each *unit* (a file, a
shard, a list) as a temporary file and renames it into place, and with a cluster its workers make
files and shards (making.py); it removes units that are no longer
wanted. A unit that is unchanged in the journal is not made again, so the same command continues an
interrupted export and updates a finished one.

Two exports of one state have the same bytes: order, names, times and owners come from the state or
are constants. The journal, in a hidden folder that loaders ignore, is not part of the dataset. The
destination is a folder (folder.py) or a bucket (bucket_target.py).
"""
