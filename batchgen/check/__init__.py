"""Are the results any good? Finds what is empty, unreadable, not as asked for, or there already.

kinds.py      what can be found, and how strictly
checking.py   a whole check, step by step; what of it is news to the state
examining.py  one file and its frames, in another process
measures.py   frames → figures and perceptual hashes, by the extra `check`
memory.py     measures of earlier checks, a cache by content
judging.py    figures → flaws, and near duplicates among hundreds of thousands

It reads the state, never the engine; its command hands what was found to the state's writer.
"""
