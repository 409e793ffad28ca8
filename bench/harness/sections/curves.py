"""How time and memory grow: a curve of each thing that can become many."""
from curves import clients, columns, datasets, deltas, files, rows


def measure(lab):
    points = []
    for curve in (rows, columns, datasets, files, deltas, clients):
        with lab.section():
            points += curve.measure(lab)
    return {"lines": points, "facts": []}
