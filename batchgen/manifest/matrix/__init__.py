"""`matrix`: axes → combinations, and the words that tell them apart in ids."""
