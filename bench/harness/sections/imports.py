"""A Parquet file becomes a dataset (uploaded, durable, keys checked), beside DuckDB's COPY
of the same file to another (not synced, nothing checked)."""
import time

import memory
from race import Entrant, race


def measure(lab):
    files = lab.data.staffing()
    server = lab.server("--cache-size", "0")
    lines, facts = [], []
    for name, key in [("timesheets", "timesheet_id"), ("candidates", "candidate_id")]:
        lab.say(f"race, import: {name}")
        rows = lab.data.timesheets() if name == "timesheets" else lab.data.candidates()
        peaks = {}
        lines += race(f"import {name}", [
            copy(lab, "duckdb2", "DuckDB 2.0, COPY", files[name], rows),
            copy(lab, "duckdb15", "DuckDB 1.5, COPY", files[name], rows),
            into(server, "tarn", name, files[name], key, peaks),
            into(server, "tarn, no key", name, files[name], None, peaks),
        ], lab.o.slow_rounds, 1)
        facts += [{"what": f"most held while importing {name}", "system": system, "value": bytes / 1e6, "unit": "MB"}
                  for system, bytes in peaks.items()]
    return {"lines": lines, "facts": facts}


def copy(lab, kind, name, file, rows, place="import"):
    peer, out = lab.peer(kind, {}), lab.folder("copy") / "out.parquet"

    def ask(n):
        took = peer.call("execute", sql=f"COPY (SELECT * FROM read_parquet('{file}')) TO '{out}' (FORMAT parquet)")
        return {**took, "rows": rows}
    return Entrant(name, ask, place, compare=False)


def into(server, system, name, file, key, peaks):
    def ask(n):
        with memory.Peak(server.process.pid) as peak:
            began = time.perf_counter()
            answer = server.bring_in("taken", file, [key] if key else [])
            ms = (time.perf_counter() - began) * 1000
        server.drop("taken")
        peaks[system] = max(peaks.get(system, 0), peak.bytes)
        return {"ms": ms, "rows": answer["rows"]}
    return Entrant(system, ask, "import", mine=True, compare=False)
