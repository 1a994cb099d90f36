"""Options of the command line, in the order in which --help shows them."""
