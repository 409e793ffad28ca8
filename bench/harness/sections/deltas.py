"""Many pending deltas: questions beside one pending delta, and how long a lake with many
datasets takes to open."""
import entrants
import queries
import storm
from entrants import asking
from race import Entrant, race


def measure(lab):
    lines = pending(lab)
    return {"lines": lines, "facts": opening(lab)}


def pending(lab):
    """The same rows, one delta against many; the many say what a single writer leaves."""
    files = lab.data.staffing()
    servers = [("cold", entrants.tarn_cold(lab, files), "files", "parquet"), ("hot", entrants.tarn_hot(lab, files), "memory", "image")]
    keys = storm.keys(lab, 1, lab.o.deltas, 1)[0][0]
    rows = {row["timesheet_id"]: row for row in storm.whole(lab, files["timesheets"], keys)}
    found = []
    for state, server, place, served in servers:
        lab.say(f"{lab.o.deltas:,} pending deltas, {state}")
        entrants.bring_in(server, {"timesheets": files["timesheets"]}, "many.")
        if place == "memory":
            server.pin("many.timesheets")
        for dataset, most in [("timesheets", 1), ("many.timesheets", lab.o.deltas)]:
            storm.one_by_one(server.address, f"/datasets/{dataset}/rows", [rows[k] for k in keys[:most]])
        client = lab.peer("tarn", server)
        found.append((state, client, place, served, server.call("GET", "/datasets/many.timesheets")["pending_deltas"]))
    lines = []
    for query in ("join", "join, one row", "group"):
        lab.say(f"race, pending deltas: {query}")
        sql = queries.STAFFING[query]
        many = sql.replace("{timesheets}", "many.timesheets")
        once = lambda n: 1
        lines += race(query, [e for state, client, place, served, deltas in found for e in (
            Entrant(f"tarn, {state}, 1 delta", asking(client, sql, "tarn", once, served=served), place, mine=True, data="one delta"),
            Entrant(f"tarn, {state}, {deltas:,} deltas", asking(client, many, "tarn", once, served=served), place, mine=True,
                    data="many deltas", clean=f"tarn, {state}, 1 delta"))], lab.o.slow_rounds, lab.o.warmups)
    return lines


def opening(lab):
    """Empty datasets with ten changes each: start to the line that says it is ready."""
    each = max(1, lab.o.deltas // lab.o.datasets)
    lab.say(f"{lab.o.datasets:,} datasets with {each} pending deltas each")
    server = lab.server("--no-compact-auto")
    for i in range(lab.o.datasets):
        server.json("PUT", f"/datasets/d{i}", {"columns": [{"name": "id", "type": "BIGINT"}, {"name": "word", "type": "VARCHAR"}],
                                               "primary_key": ["id"]})
        storm.one_by_one(server.address, f"/datasets/d{i}/rows", [{"id": n, "word": "a word"} for n in range(each)])
    took = []
    for _ in range(lab.o.slow_rounds):
        server.stop()
        server.start()
        took.append(server.ready_ms)
    count = server.call("POST", "/query/sql", f"select count(*) as n from d{lab.o.datasets - 1}", Content_Type="text/plain")
    if count["rows"] != [[each]]:
        raise RuntimeError(f"after opening, the last dataset holds {count['rows']} rows instead of {each}")
    return [{"what": f"open {lab.o.datasets:,} datasets with {lab.o.datasets * each:,} pending deltas, start to ready",
             "system": "tarn", "value": sorted(took)[len(took) // 2], "unit": "ms"}]
