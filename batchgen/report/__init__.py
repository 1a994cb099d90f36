"""The state as a web page: a static folder that works from file://.

making.py      the whole report, step by step, and removal of stale files
folder.py      where it is written: each file is replaced atomically
thumbnails.py  thumbnails of files, many at a time
chunks.py      jobs → data for the page
night.py       attempts → figures of the Night view; plots.py: figures → coordinates
page.py        figures → index.html, from templates/; assets/ is the page's own code

It reads the state, never the engine. The page takes chunks of rows from any source: here from
files, on the live page from its server.
"""
