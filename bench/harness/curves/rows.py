"""Rows: the hot join, group by and point read, tarn beside the newest DuckDB in memory, and
what the cache holds."""
import entrants
import queries
from curves import FLAT, PROPORTIONAL, of_line, point
from data import tables
from entrants import asking
from race import Entrant, race

IDEAL = {"join": PROPORTIONAL, "group": PROPORTIONAL, "point": FLAT}


def measure(lab):
    return [p for scale in lab.o.curve for p in at_scale(lab, scale)]


def at_scale(lab, scale):
    with lab.section():
        files, rows = lab.data.staffing(scale), lab.data.timesheets(scale)
        lab.say(f"curve: {rows:,} timesheets")
        server = entrants.tarn_hot(lab, files)
        client = lab.peer("tarn", server)
        plain, compressed = (lab.peer("duckdb2", tables(files), mode) for mode in ("memory", "compressed"))
        key = lambda n: queries.key(n, rows // 10)
        for query, ideal in IDEAL.items():
            sql = queries.STAFFING[query]
            for line in race(query, [
                Entrant("DuckDB 2.0, in memory", asking(plain, sql, "duckdb2", key), "memory"),
                Entrant("DuckDB 2.0, compressed", asking(compressed, sql, "duckdb2", key), "memory"),
                Entrant("tarn, hot", asking(client, sql, "tarn", key, served="image"), "memory", mine=True),
            ], lab.o.slow_rounds, lab.o.warmups):
                yield of_line(line, "timesheets", ideal, rows, f"hot {query}")
        yield point("timesheets", "bytes in the cache", "MB", PROPORTIONAL, "tarn, hot", rows, cached(server))


def cached(server):
    return sum(d["bytes"] for d in server.stats()["datasets"]) / 1e6
