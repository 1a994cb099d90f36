"""Finds results that are blank, damaged, not as requested, or duplicates.

kinds.py      the kinds of flaws, and the options of a check
checking.py   a whole check, step by step, and what of it is new to the state
examining.py  one file and its frames, in another process
measures.py   frames → figures and perceptual hashes (the extra `check`)
cache.py      measures of earlier checks, by content
judging.py    figures → flaws, and near duplicates among hundreds of thousands

It reads the state, never the engine; its command hands the flaws to the state's writer.
"""
