"""Medians and spread."""
import statistics

median = statistics.median


def quantile(values, q):
    """The value that a share q of them does not exceed (the nearest one that was measured)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(q * (len(ordered) - 1))))]


def spread(values):
    return {"runs": len(values), "median_ms": median(values), "p10_ms": quantile(values, 0.1), "p90_ms": quantile(values, 0.9)}


def ratio(ours, theirs):
    """The median of the ratios of the rounds in which both ran: round -> ms."""
    shared = [ours[r] / theirs[r] for r in ours if r in theirs and theirs[r] > 0]
    return median(shared) if shared else None
