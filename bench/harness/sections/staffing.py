"""The five questions over clean rows: from files, in memory, and asked again."""
import entrants
import queries


def measure(lab):
    return {"lines": entrants.everyone(lab, lab.data.staffing(), queries.STAFFING, lab.o.rounds), "facts": []}
