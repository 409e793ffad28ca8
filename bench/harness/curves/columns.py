"""Columns: the same rows with more and more of them, numbers and texts; a question about
two, and what the cache holds."""
import entrants
from curves import FLAT, PROPORTIONAL, of_line, point
from curves.rows import cached
from data import tables
from entrants import asking
from race import Entrant, race

KINDS = ["(hash(i, {n}) % 1000)::BIGINT", "(hash(i, {n}) % 1000)::DOUBLE / 8", "'word ' || (hash(i, {n}) % 100)"]
MEMORY = ("--job-memory-bytes", "3GB")  # an import writes 100,000 rows of 1,000 columns at a time
SQL = "select c3, count(*) as n, sum(c2) as total from wide group by c3"


def measure(lab):
    return [p for columns in lab.o.columns for p in with_columns(lab, columns)]


def with_columns(lab, columns):
    with lab.section():
        lab.say(f"curve: {columns:,} columns")
        files = {"wide": file(lab, columns)}
        cold, hot = entrants.tarn_cold(lab, files, *MEMORY), entrants.tarn_hot(lab, files, *MEMORY)
        once = lambda n: 1
        for line in race("two columns grouped", [
            Entrant("DuckDB 2.0, in memory", asking(lab.peer("duckdb2", tables(files), "memory"), SQL, "duckdb2", once), "memory"),
            Entrant("tarn, hot", asking(lab.peer("tarn", hot), SQL, "tarn", once, served="image"), "memory", mine=True),
            Entrant("tarn, cold", asking(lab.peer("tarn", cold), SQL, "tarn", once, served="parquet"), "files", mine=True),
        ], lab.o.slow_rounds, lab.o.warmups):
            yield of_line(line, "columns", FLAT, columns)
        yield point("columns", "bytes in the cache", "MB", PROPORTIONAL, "tarn, hot", columns, cached(hot))


def file(lab, columns):
    kinds = ", ".join(KINDS[(n - 1) % len(KINDS)].format(n=n) + f" AS c{n}" for n in range(1, columns))
    out = lab.data.dir / "wide" / f"{lab.o.wide_rows}-{columns}.parquet"
    out.parent.mkdir(parents=True, exist_ok=True)
    return lab.data.write(f"SELECT i AS id, {kinds} FROM range({lab.o.wide_rows}) r(i)", out)
