"""How costs grow: a module for each thing that grows, each with measure(lab) -> points.

A *point* is what one system shows at one size: "curve" is what grows, "at" how much of it
there is, "query" what was measured of it and "unit" in what. "ideal" is how that would
grow in a perfect system, from tarn's first point on (GROWTH).
"""

FLAT, PROPORTIONAL, CORES, QUEUE = "flat", "proportional", "cores", "queue"

# (at, the first at, the cores of the machine) -> times the value at the first
GROWTH = {
    FLAT: lambda at, first, cores: 1,
    PROPORTIONAL: lambda at, first, cores: at / first,
    CORES: lambda at, first, cores: min(at, cores) / min(first, cores),  # work done, by those who ask
    QUEUE: lambda at, first, cores: max(at, cores) / max(first, cores),  # their wait for it
}


def point(curve, query, unit, ideal, system, at, value, mine=True):
    return {"curve": curve, "query": query, "unit": unit, "ideal": ideal, "system": system, "at": at, "value": value, "mine": mine}


def of_line(line, curve, ideal, at, query=None, system=None):
    """The point that a line of a race is; system where the race's name has the size in it."""
    return {**line, **point(curve, query or line["query"], "median ms", ideal, system or line["system"], at, line["median_ms"], line["mine"])}
