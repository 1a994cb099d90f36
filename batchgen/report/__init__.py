"""The state as a page to look at: a static folder that works from file://.

making.py      the whole report, step by step, and what of an older one is stale
thumbnails.py  one small picture of a file, many at a time
chunks.py      jobs → data for the page
night.py       attempts → figures of the night; plots.py: figures → coordinates
page.py        figures → index.html, by templates/; assets/ is the page's own code

It reads the state, never the engine. The page takes chunks of rows from any source: here from
files, and the live page's server sends it the same chunks.
"""
