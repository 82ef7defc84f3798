"""Data sets from the network or from a file: download, check, unpack, and into their place as a whole."""
