"""The five questions with 10% of the rows changed and nothing compacted, each system
beside itself over clean rows."""
import entrants
import queries
from data import tables
from entrants import asking
from race import Entrant, race


def measure(lab):
    files = lab.data.staffing()
    batches, merged = lab.data.changed()
    entered = tarn(lab, files, batches) + lakes(lab, files, batches)
    reference = lab.peer("duckdb2", tables(merged))
    clean_reference = lab.peer("duckdb2", tables(files))
    lines = []
    for query, sql in queries.STAFFING.items():
        lab.say(f"race, 10% changed: {query}")
        key = lambda n: queries.key(n, lab.data.candidates())
        lines += race(query, [
            Entrant("DuckDB 2.0, Parquet", asking(clean_reference, sql, "duckdb2", key), "rewritten"),
            Entrant("DuckDB 2.0, rewritten Parquet", asking(reference, sql, "duckdb2", key), "rewritten", data="changed"),
        ] + [one(sql, key) for one in entered], lab.o.rounds, lab.o.warmups)
    lab.leave_out("delta-rs after its merges has rewritten the files that they touched: it has nothing pending, and its "
                  "ratio says what its rewritten files cost. PyIceberg has no SQL to ask the questions in.")
    return {"lines": lines, "facts": []}


def entrant(peer, kind, name, place, data, **more):
    """A function of the question that gives the entrant."""
    prefix = "changed." if kind == "tarn" and data == "changed" else ""
    clean = name if data == "changed" else ""
    shown = f"{name}, 10% changed" if data == "changed" else name
    return lambda sql, key: Entrant(shown, asking(peer, sql, kind, key, prefix, **more), place,
                                    mine=kind == "tarn", data=data, clean=clean)


def tarn(lab, files, batches):
    found = []
    for server, name, place, served in [(entrants.tarn_cold(lab, files), "tarn, cold", "files", "parquet"),
                                        (entrants.tarn_hot(lab, files), "tarn, hot", "memory", "image")]:
        entrants.bring_in(server, files, "changed.")
        for table in files:
            if served == "image":
                server.pin("changed." + table)  # hot before it changes: changes in place are measured
            for batch in batches[table]:
                server.upsert("changed." + table, batch)
        client = lab.peer("tarn", server)
        found += [entrant(client, "tarn", name, place, data, served=served) for data in ("clean", "changed")]
    return found


def lakes(lab, files, batches):
    found = []
    for kind, name in [("ducklake", "DuckLake"), ("delta", "delta-rs")]:
        for data in ("clean", "changed"):
            lab.say(f"{name}, {data}")
            peer = lab.peer(kind, tables(files))
            for table in files if data == "changed" else ():
                for batch in batches[table]:
                    peer.call("upsert", table=table, path=str(batch))
            found.append(entrant(peer, kind, name, "lake", data))
    return found
