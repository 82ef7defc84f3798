"""Data sets made from pictures: folders in, folders out, which `i2i.data.open_split` takes as they are.

Each file has a pure core and a runner from folder to folder; `work` is what the runners share.
"""
