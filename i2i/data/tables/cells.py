"""The cells of one block of a table, checked: what is wrong is told with the number of its row."""

from pathlib import Path
from typing import Any

import numpy as np

from i2i.errors import UserError


class Cells:
    """One block of a table, an arrow record batch; `first` rows come before it."""

    def __init__(self, path: Path, block: Any, first: int) -> None:
        self.path, self.block, self.first = path, block, first
        self._texts: dict[str, Any] = {}

    def __len__(self) -> int:
        return len(self.block)

    def text(self, column: str) -> Any:
        """An arrow array of strings, '' where nothing is told."""
        import pyarrow
        import pyarrow.compute

        try:
            if column not in self._texts:
                cells = self.block.column(column).cast(pyarrow.string())
                self._texts[column] = pyarrow.compute.fill_null(cells, "")
        except pyarrow.ArrowException:
            kind = self.block.schema.field(column).type
            raise UserError(f"{self.path}: the column {column!r} holds {kind}, where text is expected.") from None
        return self._texts[column]

    def empty(self, column: str) -> np.ndarray:
        """Where nothing is told."""
        import pyarrow.compute

        return array(pyarrow.compute.equal(self.text(column), ""))

    def weights(self, column: str) -> np.ndarray:
        """Numbers >= 0, float64."""
        import pyarrow
        import pyarrow.compute

        cells = self.block.column(column)
        try:
            numbers = array(pyarrow.compute.fill_null(cells.cast(pyarrow.float64()), np.nan))
        except pyarrow.ArrowException:
            numbers = np.array([_number(cell) for cell in self.text(column).to_pylist()])
        self.refuse(~((numbers >= 0) & (numbers < np.inf)), column, "a weight >= 0")
        return numbers

    def refuse(self, where: np.ndarray, column: str, expected: str) -> None:
        """Raises a UserError that names the first row of `where`, if there is one."""
        if where.any():
            at = int(where.argmax())
            raise UserError(
                f"{self.path}, row {self.first + at + 1:,}: expected {expected} in the column {column!r}, "
                f"got {str(self.block.column(column)[at].as_py())[:80]!r}."
            )


def array(cells: Any) -> np.ndarray:
    """An arrow array as numpy's."""
    found: np.ndarray = cells.to_numpy(zero_copy_only=False)
    return found


def _number(cell: str) -> float:
    try:
        return float(cell)
    except ValueError:
        return np.nan
