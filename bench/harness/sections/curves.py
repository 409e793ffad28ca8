"""How time and memory grow with the rows: the hot join and the point read, tarn beside the
newest DuckDB in memory."""
import entrants
import queries
from data import tables
from entrants import asking
from race import Entrant, race


def measure(lab):
    lines, facts = [], []
    for scale in lab.o.curve:
        with lab.section():
            files, rows = lab.data.staffing(scale), lab.data.timesheets(scale)
            lab.say(f"curve: {rows:,} timesheets")
            server = entrants.tarn_hot(lab, files)
            client = lab.peer("tarn", server)
            plain, compressed = (lab.peer("duckdb2", tables(files), mode) for mode in ("memory", "compressed"))
            key = lambda n: queries.key(n, rows // 10)
            for query in ("join", "group", "point"):
                sql = queries.STAFFING[query]
                found = race(query, [
                    Entrant("DuckDB 2.0, in memory", asking(plain, sql, "duckdb2", key), "memory"),
                    Entrant("DuckDB 2.0, compressed", asking(compressed, sql, "duckdb2", key), "memory"),
                    Entrant("tarn, hot", asking(client, sql, "tarn", key, served="image"), "memory", mine=True),
                ], lab.o.slow_rounds, lab.o.warmups)
                lines += [{**line, "at": rows} for line in found]
            facts.append({"what": f"counted by the cache for {rows * 11 // 10:,} rows", "system": "tarn", "at": rows,
                          "value": sum(d["bytes"] for d in server.stats()["datasets"]) / 1e6, "unit": "MB"})
    return {"lines": lines, "facts": facts}
