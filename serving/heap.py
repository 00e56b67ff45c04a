"""A heap of rows, ordered by their scores; all of it compiled into what uses it.

After a change here, change the modules that use it too: what is kept on disk of those has it in it.
"""

from __future__ import annotations

from numba import njit


@njit
def better(scores, one, other):  # type: ignore[no-untyped-def]
    """Return whether the row ``one`` comes before the row ``other``: the higher score, of equal ones the earlier."""
    return scores[one] > scores[other] or (scores[one] == scores[other] and one < other)


@njit
def sink(scores, heap, size, at, best_on_top):  # type: ignore[no-untyped-def]
    """Move what stands at ``at`` down to where the order of the first ``size`` of ``heap`` is right again."""
    row = heap[at]
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        if below + 1 < size and better(scores, heap[below + 1], heap[below]) == best_on_top:
            below += 1
        if better(scores, heap[below], row) != best_on_top:
            break
        heap[at] = heap[below]
        at = below
    heap[at] = row
