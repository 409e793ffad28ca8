"""Races: the same work for all entrants in turns, and their answers compared."""
import dataclasses

import stats


class WrongAnswer(Exception):
    """Two systems gave different answers about the same rows."""


@dataclasses.dataclass
class Entrant:
    name: str
    ask: object  # (round) -> answer with "ms"; round < 0 warms up
    place: str  # "files", "memory", "again", ...: with whom it is compared
    mine: bool = False  # it is tarn
    data: str = "clean"  # answers about the same data must agree
    compare: bool = True
    clean: str = ""  # the entrant whose time over clean rows it is held against
    every: int = 1  # a slow one takes part in each so-manieth round only


def race(query, entrants, rounds, warmups):
    """Run it; gives a line for each entrant."""
    times = {e.name: {} for e in entrants}
    rows = {}
    for n in range(-warmups, rounds):
        first = n % len(entrants)
        answers = []
        for e in entrants[first:] + entrants[:first]:
            if n % e.every and not (n == -1 and e.every > 1):
                continue
            answer = e.ask(n)
            answers.append((e, answer))
            rows[e.name] = answer.get("rows")
            if n >= 0:
                times[e.name][n] = answer["ms"]
        agree(query, n, answers)
    return [line(query, e, entrants, times, rows) for e in entrants]


def agree(query, n, answers):
    said = {}
    for e, answer in answers:
        if not e.compare:
            continue
        what = (answer["rows"], answer["digest"])
        first = said.setdefault(e.data, (e.name, what))
        if what != first[1]:
            raise WrongAnswer(f"{query}, round {n}, {e.data} rows: {first[0]} says {first[1]}, {e.name} says {what}")


def line(query, e, entrants, times, rows):
    found = {"query": query, "system": e.name, "place": e.place, "data": e.data, "mine": e.mine,
             "rows": rows.get(e.name), **stats.spread(list(times[e.name].values()))}
    best = best_peer(e, entrants, times)
    if best:
        found["best_peer"], found["of_best"] = best, stats.ratio(times[e.name], times[best])
    if e.mine:
        found["of"] = {p.name: stats.ratio(times[e.name], times[p.name]) for p in entrants if not p.mine and p.data == e.data and times[p.name]}
    if e.clean:
        found["of_clean"] = stats.ratio(times[e.name], times[e.clean])
    return found


def best_peer(e, entrants, times):
    """The fastest peer in the same place with the same rows; an answer given again is
    held against the fastest in memory."""
    place = "memory" if e.place == "again" else e.place
    peers = [p.name for p in entrants if not p.mine and p.place == place and p.data == e.data and times[p.name]]
    return min(peers, key=lambda name: stats.median(times[name].values()), default=None)
