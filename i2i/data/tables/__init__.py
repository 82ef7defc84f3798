"""Tables of files, of any length: read once, kept on the disk by columns, and looked up by row."""
