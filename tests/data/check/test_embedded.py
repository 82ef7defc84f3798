"""No false alarms on the sets that ship with i2i."""

import pytest

from i2i.data import root
from i2i.data.check import check


@pytest.mark.parametrize(
    ("name", "layout", "counts"),
    [
        ("earth_day2night", "paired", {"train": 124, "val": 37, "test": 111}),
        (
            "earth_map2sat_unpaired",
            "unpaired",
            {"trainA": 88, "trainB": 85, "valA": 37, "valB": 37, "testA": 111, "testB": 111},
        ),
        pytest.param("fluent_line2d3d", "paired", {"train": 1389, "test": 156}, marks=pytest.mark.slow),
        pytest.param("fashion_mnist", "labelled", {"train": 8000, "test": 1000}, marks=pytest.mark.slow),
    ],
)
def test_an_embedded_set_is_clean(name: str, layout: str, counts: dict[str, int]) -> None:
    report = check(root(name), workers=1)
    assert (report.layout, report.counts) == (layout, counts)
    assert [finding for finding in report.findings if finding.severity != "note"] == []
