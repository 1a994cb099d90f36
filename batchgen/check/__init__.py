"""Are the results any good? Finds what is empty, unreadable, not as asked for, or there already.

kinds.py      what can be found, and how strictly
checking.py   a whole check, step by step; what of it is news to the state
examining.py  one file, in a process of its own; sampling.py: its frames
measures.py   frames → figures; looks.py: frames → perceptual hashes, by the extra `check`
memory.py     measures of earlier checks, a cache by content
contract.py   what an input promises of its result
judging.py    figures → flaws; similar.py: near duplicates among hundreds of thousands

It reads the state, never the engine; its command hands what was found to the state's writer.
"""
