"""Balanced plans as functions: marginals, the best assignment, refusals."""

from __future__ import annotations

import itertools

import pytest
import torch

from gatewright import ops


def table(tokens, experts, seed=0, dtype=torch.float32):
    return torch.randn(tokens, experts, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def test_sinkhorn_has_the_marginals_and_the_form():
    scores = table(12, 4)
    plan, iterations, residual = ops.sinkhorn(scores, temperature=0.5, iterations=500, tolerance=1e-6)
    assert (
        plan.dtype == torch.float64 and plan.shape == (12, 4) and 0 < iterations <= 500 and residual <= 1e-6
    )
    assert torch.allclose(plan.sum(1), torch.ones(12).double())
    assert torch.allclose(plan.sum(0), torch.full((4,), 3.0).double(), rtol=1e-5)
    # log plan − scores / temperature is a sum of a row's and a column's part.
    rest = plan.log() - scores.double() / 0.5
    centred = rest - rest.mean(1, keepdim=True) - rest.mean(0, keepdim=True) + rest.mean()
    assert centred.abs().max() < 1e-6


def test_the_assignment_is_the_best_one():
    for seed in range(4):
        scores = table(6, 3, seed)
        chosen = ops.balanced_assignment(scores, precision=1e-6)
        assert torch.bincount(chosen, minlength=3).tolist() == [2, 2, 2]
        best = max(
            float(scores[torch.arange(6), torch.tensor(one)].sum())
            for one in set(itertools.permutations([0, 0, 1, 1, 2, 2]))
        )
        assert float(scores[torch.arange(6), chosen].sum()) == pytest.approx(best, abs=1e-4)


def test_sparse_transport_is_sparse():
    plan, _, residual = ops.sparse_transport(table(12, 4), k=6, gamma=0.5)
    assert (plan > 0).sum(0).max() <= 6 and residual < 1e-2
    assert torch.allclose(plan.sum(0), torch.full((4,), 3.0).double())


def test_what_does_not_fit_is_refused():
    scores = table(6, 3)
    for call, sentence in (
        (lambda: ops.sinkhorn(scores[0]), "scores"),
        (lambda: ops.sinkhorn(scores * float("nan")), "finite"),
        (lambda: ops.sinkhorn(scores, temperature=0), "temperature"),
        (lambda: ops.sparse_transport(scores, k=1), "sparse_transport"),
        (lambda: ops.balanced_assignment(scores, precision=0), "precision"),
        (lambda: ops.balanced_assignment(scores.long()), "floating"),
    ):
        with pytest.raises(ValueError, match=sentence):
            call()
