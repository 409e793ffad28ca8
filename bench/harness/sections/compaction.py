"""Compaction of a keyed dataset: a full rewrite, 1% of the keys side by side, and 1% of
them scattered; beside DuckDB's COPY of the same rows to a file."""
import statistics
import time

import memory
from race import Entrant, race
from sections import imports

DATASET = "timesheets"
FULL, CLUSTERED, SCATTERED = "tarn, full rewrite", "tarn, 1% of the keys, clustered", "tarn, 1% of the keys, scattered"
QUIET = 1.2  # seconds without a question or a change, after which a job takes all cores
MARKED = ", rows marked"  # by position deletes


def measure(lab):
    rows = lab.o.compaction_rows
    file = lab.data.staffing(rows / 1_000_000)[DATASET]
    lab.say(f"import {rows:,} rows, three times")
    whole, part, mark = (Subject(lab, file, rows, flags) for flags in ((), (), ("--compact-dead-share", "0.3")))
    rounds = min(lab.o.slow_rounds, 5)
    lab.say("race, compaction")
    lines = race("time of the call", [
        imports.copy(lab, "duckdb2", "DuckDB 2.0, COPY", file, rows, "whole"),
        imports.copy(lab, "duckdb15", "DuckDB 1.5, COPY", file, rows, "whole"),
        whole.entrant(FULL, everywhere, "whole"),
        part.entrant(CLUSTERED, clustered(rounds), "part", clean=FULL),
        part.entrant(SCATTERED, scattered, "part", clean=FULL),
        mark.entrant(CLUSTERED + MARKED, clustered(rounds), "mark", clean=FULL),
        mark.entrant(SCATTERED + MARKED, scattered, "mark", clean=FULL),
    ], rounds, 1)
    return {"lines": lines, "facts": per_s(lines, rows) + whole.facts() + part.facts() + mark.facts()}


# Which keys change: a function of the round and the number of rows gives the condition.

def everywhere(n, rows):
    """A hundred keys: some in every file that has more than a hundredth of the rows."""
    return f"timesheet_id % {rows // 100} = {n + 1}"


def scattered(n, rows):
    return f"timesheet_id % 100 = {n + 1}"


def clustered(rounds):
    """A range in another place each round, as its cost is that of the file that it falls into."""
    def keys(n, rows):
        first = round((max(n, 0) + 0.5) / rounds * rows)
        return f"timesheet_id BETWEEN {first} AND {first + rows // 100 - 1}"
    return keys


class Subject:
    """A server with the dataset, and what its compactions said."""

    def __init__(self, lab, file, rows, flags):
        self.lab, self.file, self.rows = lab, file, rows
        self.server = lab.server("--no-compact-auto", "--cache-size", "0", *flags)
        self.server.bring_in(DATASET, file, ["timesheet_id"])
        self.batch = lab.folder("batches") / "batch.parquet"
        self.sent, self.peaks, self.shares = 0, {}, {}

    def entrant(self, name, keys, place, clean=""):
        def ask(n):
            where = keys(n, self.rows)
            value = self.change(where)
            before = self.server.call("GET", f"/datasets/{DATASET}")["bytes"]
            time.sleep(QUIET)
            with memory.Peak(self.server.process.pid) as peak:
                began = time.perf_counter()
                answer = self.server.json("POST", "/query/compact", {"dataset": DATASET})
                ms = (time.perf_counter() - began) * 1000
            self.check(name, where, value, answer)
            if place == "whole" and (answer["files_kept"], answer["bytes_rewritten"]) != (0, before):
                raise RuntimeError(f"{name}: not all of the {before} bytes were rewritten: {answer}")
            self.peaks[name] = max(self.peaks.get(name, 0), peak.bytes)
            self.shares.setdefault(name, []).append(answer["bytes_rewritten"] / before)
            return {"ms": ms, "rows": answer["final_rows"]}
        return Entrant(name, ask, place, mine=True, compare=False, clean=clean)

    def change(self, where):
        """Upsert the rows of these keys with a value that no row had before."""
        self.sent += 1
        value = f"{100 + self.sent / 4:.2f}"
        self.batch.unlink(missing_ok=True)
        self.lab.data.write(f"SELECT * REPLACE ({value}::DECIMAL(5,2) AS hours_overtime) FROM read_parquet('{self.file}') WHERE {where}", self.batch)
        self.server.upsert(DATASET, self.batch)
        return value

    def check(self, name, where, value, answer):
        """All rows are there, and those of these keys, no others, have the value."""
        changed = answer["delta_rows"]
        got = self.server.call("POST", "/query/sql", f"""select count(*), count(*) filter (where hours_overtime = {value}),
            count(*) filter (where hours_overtime = {value} and {where}) from {DATASET}""", Content_Type="text/plain")["rows"]
        if not changed or got != [[self.rows, changed, changed]] or (answer["final_rows"], answer["updated"]) != (self.rows, changed):
            raise RuntimeError(f"{name}: rows, changed rows, and those where they should be are {got} after {answer}")

    def facts(self):
        return [{"what": what, "system": system, "value": value, "unit": unit} for system in self.peaks for what, value, unit in [
            ("bytes of the base that were rewritten", 100 * statistics.median(self.shares[system]), "%"),
            ("most held by server and job", self.peaks[system] / 1e6, "MB")]]


def per_s(lines, rows):
    return [{"what": "rows written", "system": line["system"], "value": rows / line["median_ms"] * 1000, "unit": "rows/s"}
            for line in lines if line["place"] == "whole"]
