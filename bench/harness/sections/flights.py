"""Two questions over 3,000,000 real flights (vega-datasets), which have no key."""
import entrants
import queries


def measure(lab):
    files = lab.data.flights()
    if not files:
        lab.leave_out("The real flights: scripts/get-real-data, which needs npm, could not get them.")
        return {"lines": [], "facts": []}
    return {"lines": entrants.everyone(lab, files, queries.FLIGHTS, lab.o.slow_rounds), "facts": []}
