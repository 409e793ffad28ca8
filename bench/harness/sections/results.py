"""SELECT * through HTTP, read to its end in pieces: rows a second, and the most that
server and worker held, for one and for four million rows."""
import statistics

import entrants
import memory
from data import tables

FORMS = [("Arrow", "application/vnd.apache.arrow.stream"), ("JSON", "application/json")]


def measure(lab):
    files = {"timesheets": lab.data.staffing()["timesheets"]}
    rows = lab.data.timesheets()
    server = entrants.tarn_hot(lab, files)
    client, duck = lab.peer("tarn", server), lab.peer("duckdb15", tables(files), "compressed")
    facts = []
    for times in (1, 4):
        sql = "select * from timesheets" if times == 1 else f"select t.* from timesheets t, range({times})"
        check(client, sql, rows * times)
        per_s, peaks = {form: [] for form, _ in FORMS} | {"DuckDB": []}, {}
        for _ in range(lab.o.slow_rounds):
            for form, accept in FORMS:
                with memory.Peak(server.process.pid) as peak:
                    got = client.call("stream", sql=sql, accept=accept)
                if form == "JSON" and f'"row_count":{rows * times}' not in got["end"]:
                    raise RuntimeError(f"the JSON answer does not end with {rows * times} rows: {got['end']}")
                per_s[form].append(rows * times / got["ms"] * 1000)
                peaks[form] = max(peaks.get(form, 0), peak.bytes)
            per_s["DuckDB"].append(rows * times / duck.call("stream", sql=sql)["ms"] * 1000)
        size = f"{rows * times:,} rows"
        for form, _ in FORMS:
            facts += [fact(f"{size} as {form}", "tarn, hot, HTTP", statistics.median(per_s[form]), "rows/s"),
                      fact(f"{size} as {form}, most held by server and worker", "tarn, hot, HTTP", peaks[form] / 1e6, "MB")]
        facts.append(fact(f"{size} as Arrow", "DuckDB 1.5, compressed, inside its process", statistics.median(per_s["DuckDB"]), "rows/s"))
    return {"lines": [], "facts": facts}


def check(client, sql, rows):
    got = client.call("run", sql=sql, count=True)
    if got["rows"] != rows:
        raise RuntimeError(f"{sql}: {got['rows']} rows instead of {rows}")


def fact(what, system, value, unit):
    return {"what": what, "system": system, "value": value, "unit": unit}
