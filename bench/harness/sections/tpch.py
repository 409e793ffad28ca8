"""Four queries of TPC-H."""
import entrants
import queries


def measure(lab):
    lines = entrants.everyone(lab, lab.data.tpch(), queries.TPCH, lab.o.slow_rounds)
    return {"lines": lines, "facts": []}
