"""Scores of segmentation maps, beside values counted by hand and a confusion matrix of numpy's."""

import numpy as np
import pytest
import torch
from torch import Tensor

from i2i.metrics import counts, mean_iou, pixel_accuracy


def scores(classes: list[list[int]] | np.ndarray, count: int) -> Tensor:
    """h w class numbers → 1 c h w, 1 and -1."""
    return torch.nn.functional.one_hot(torch.as_tensor(classes), count).permute(2, 0, 1)[None] * 2.0 - 1


def test_a_map_counted_by_hand() -> None:
    """Class 0: 3 true, 2 told, 2 both: 2/3. Class 1: 1 true, 2 told, 1 both: 1/2. Class 2 is nowhere."""
    counted = counts(scores([[0, 0], [1, 1]], 3), scores([[0, 0], [0, 1]], 3))
    assert counted.tolist() == [[[2, 1, 0], [3, 1, 0], [2, 2, 0]]]
    assert pixel_accuracy(counted) == 0.75
    assert mean_iou(counted) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_set_is_one_confusion_matrix_and_no_mean_over_pictures() -> None:
    rng = np.random.default_rng(0)
    true, told = rng.integers(0, 4, (2, 5, 6, 7))
    parts = [(scores(a, 4) * 0.3, scores(b, 4)) for a, b in zip(told, true, strict=True)]
    counted = counts(torch.cat([a for a, _ in parts]), torch.cat([b for _, b in parts]))
    matrix = np.zeros((4, 4))
    np.add.at(matrix, (true.ravel(), told.ravel()), 1)
    right = np.diag(matrix)
    assert pixel_accuracy(counted) == pytest.approx(right.sum() / matrix.sum())
    assert mean_iou(counted) == pytest.approx((right / (matrix.sum(0) + matrix.sum(1) - right)).mean())
    assert mean_iou(counted) != pytest.approx(np.mean([mean_iou(one[None]) for one in counted]), abs=1e-6)


def test_a_class_that_is_told_where_it_is_not_counts_as_zero() -> None:
    counted = counts(scores([[1, 0]], 2), scores([[0, 0]], 2))
    assert mean_iou(counted) == pytest.approx((1 / 2 + 0) / 2)
