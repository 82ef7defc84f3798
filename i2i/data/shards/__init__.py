"""WebDataset tar files, here or far away: which there are, what is in them, and where each picture lies."""
