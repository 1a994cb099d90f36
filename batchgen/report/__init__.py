"""The state as a page to look at: a static folder that works from file://.

making.py      the whole report, step by step; folder.py: where it stands, and what of it is stale
thumbnails.py  one small picture of a file; pool.py: many of them, in processes
chunks.py      jobs → data for the page; causes.py: what is not done, and the command for it
night.py       attempts → figures of the night; plots.py: figures → coordinates
page.py        figures → index.html, by templates/; assets/ is the page's own code

It reads the state, never the engine. The page takes chunks of rows from whoever has them: here
from files, and a server could send it the same chunks as they come.
"""
