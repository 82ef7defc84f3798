"""`i2i data check`: what a folder, a table or shards hold, what is wrong with it, and the recipe's block to use it.

- `check`: the whole examination, a `Report`. `contact_sheet`: the same set as one picture.
- `quick`: within a second, what would spoil a training that is about to begin.
"""

from i2i.data.check.finding import Finding
from i2i.data.check.layout import Item, Layout
from i2i.data.check.quick import quick
from i2i.data.check.report import Report
from i2i.data.check.run import check
from i2i.data.check.sheet import contact_sheet
from i2i.data.check.understand import understand

__all__ = ["Finding", "Item", "Layout", "Report", "check", "contact_sheet", "quick", "understand"]
