"""Data sets by name: their cards, their folders, and how the embedded ones are made."""
