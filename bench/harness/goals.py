"""What is aimed at on two cores at scale 1, and whether the figures reach it.

A goal has two figures where both were measured: inside the process and through HTTP. The
verdict goes by the one inside, as the peers are measured inside their processes, unless
the goal itself speaks of HTTP."""
import dataclasses

from queries import STAFFING

REACHED, MISSED, UNKNOWN, MEASURED = "reached", "not reached", "not measured", "measured"


@dataclasses.dataclass
class Goal:
    what: str
    goal: str
    unit: str
    aim: float
    least: bool = False  # at least the aim, instead of at most
    inside: float = None
    http: float = None
    why: str = ""
    by_http: bool = False
    beside: bool = False  # no aim: shown beside the peers

    @property
    def judged(self):
        if self.by_http or self.inside is None:
            return self.http
        return self.inside

    def verdict(self, telling):
        if self.beside and self.judged is not None:
            return MEASURED
        if self.judged is None or self.aim is None:
            return UNKNOWN
        if not telling:
            return UNKNOWN
        return REACHED if (self.judged >= self.aim if self.least else self.judged <= self.aim) else MISSED


def goals(found):
    """All of them, from a figures.Found."""
    return [*hot(found), *cold(found), *again(found), *changed(found), *held(found), *upserts(found), *moving(found),
            *compaction(found), *steady(found), *scale(found)]


def times(n):
    return None if n is None else 1 / n


def product(a, b):
    return None if a is None or b is None else a * b


def worst(values, least=False):
    there = [v for v in values if v is not None]
    return (min(there) if least else max(there)) if there and len(there) == len(values) else None


def inside_of_best(found, query, system):
    """tarn inside of the best peer: of DuckDB 1.5 in the run inside, times that DuckDB of
    the best peer in the race of all."""
    return product(found.value("inside", query, system, "of_base"),
                   found.value("staffing", query, "DuckDB 1.5, in memory", "of_best"))


def hot(found):
    yield Goal("hot 1M-row join", "of the best peer in memory", "times", 0.35,
               inside=inside_of_best(found, "join", "tarn, hot"), http=found.value("staffing", "join", "tarn, hot", "of_best"))
    for query, system in [("filter", "tarn, hot"), ("group", "tarn, hot"), ("point", "tarn, hot"), ("point", "tarn, hot, by key")]:
        yield Goal(f"hot {query}{system[9:]}", "of the best peer in memory", "times", 1,
                   inside=inside_of_best(found, query, system), http=found.value("staffing", query, system, "of_best"))
    yield Goal("hot point by key, p50", "inside the process", "ms", 0.3,
               inside=found.value("inside", "point", "tarn, hot, by key", "median_ms"),
               http=found.value("staffing", "point", "tarn, hot, by key", "median_ms"))


def cold(found):
    for query in STAFFING:
        of = found.value("staffing", query, "tarn, cold", "of") or {}
        yield Goal(f"cold {query}", "of DuckDB's read_parquet (inside: on tarn's own files)", "times", 1.05,
                   inside=found.value("inside", query, "tarn, cold", "of_base"),
                   http=worst([of.get(f"DuckDB {v}, Parquet") for v in ("1.5", "2.0")]))


def again(found):
    yield Goal("the same query again, p50", "inside the process", "ms", 0.2,
               inside=found.value("inside", "join", "tarn, asked again", "median_ms"),
               http=found.value("staffing", "join", "tarn, asked again", "median_ms"))


def changed(found):
    for query in STAFFING:
        yield Goal(f"10% changed, hot {query}", "of its clean answer", "times", 1.05,
                   inside=found.value("inside", query, "tarn, hot, 10% changed", "of_clean"),
                   http=found.value("changed", query, "tarn, hot, 10% changed", "of_clean"))
    for query in STAFFING:
        yield Goal(f"10% changed, cold {query}", "of its clean answer, below DuckLake's ratio in the same race", "times",
                   found.value("changed", query, "DuckLake, 10% changed", "of_clean"),
                   inside=found.value("inside", query, "tarn, cold, 10% changed", "of_clean"),
                   http=found.value("changed", query, "tarn, cold, 10% changed", "of_clean"))
    for state in ("hot", "cold"):
        ratios = [line["of_clean"] for line in found.sections.get("deltas", {}).get("lines", [])
                  if line["system"].startswith(f"tarn, {state}") and "of_clean" in line]
        yield Goal(f"10,000 pending deltas, {state}", "of one, the worst of three questions", "times", 1.1, http=worst(ratios))


def held(found):
    yield Goal("cached bytes", "for the 1.1M rows", "MB", 16, inside=found.fact("inside", "held for", "tarn"),
               http=found.fact("memory", "counted by the cache"))


def upserts(found):
    one, disk = found.fact("inside", "upsert, one writer"), found.fact("inside", "disk:")
    yield Goal("one writer, p50", "of a bare write, fsync, link, folder fsync", "times", 2,
               inside=None if one is None or not disk else one / disk)
    yield Goal("64 writers inside the process", "single-row requests", "a second", 20_000, True,
               inside=found.fact("inside", "upserts, 64 writers"))
    yield Goal("64 writers through HTTP", "single-row requests", "a second", 8_000, True,
               http=found.fact("upserts", "64 writers, one row a request"), by_http=True)
    yield Goal("16 writers, 10-row batches", "of DuckLake's commits a second", "times", 20, True,
               http=found.fact("upserts", "16 writers, ten rows a commit, of"))
    of = found.value("upserts", "1% of the rows", "tarn, hot, Arrow", "of") or {}
    yield Goal("10,000 rows", "of DuckLake's time", "times", 0.3, http=of.get("DuckLake"))
    yield Goal("10,000 rows", "of delta-rs's time", "times", 0.05, http=of.get("delta-rs"))


def moving(found):
    for form, aim in (("Arrow", 5e6), ("JSON", 1e6)):
        yield Goal(f"SELECT * of 1M rows as {form}", "through HTTP", "rows/s", aim, True,
                   http=found.fact("results", f"1,000,000 rows as {form}", "tarn, hot, HTTP"), by_http=True)
    for form in ("Arrow", "JSON"):
        small, large = (found.fact("results", f"{n},000,000 rows as {form}, most held") for n in (1, 4))
        yield Goal(f"memory of 4M rows as {form}", "of that of 1M rows", "times", 1.1,
                   http=None if not small or large is None else large / small, by_http=True)
    yield Goal("import", "of the rows/s of the faster DuckDB COPY", "times", 0.8, True,
               http=times(found.value("imports", "import timesheets", "tarn", "of_best")))
    yield Goal("opening", "1,000 datasets with 10,000 pending deltas, start to ready", "ms", 2_000,
               http=found.fact("deltas", "open 1,000 datasets with 10,000"))


def compaction(found):
    of = lambda system, what: found.value("compaction", "time of the call", system, what)
    for how, aim in (("clustered", 0.15), ("scattered", 0.4)):
        for marked in ("", ", rows marked"):
            yield Goal(f"compaction, 1% of the keys of 10M rows, {how}{marked}", "of a full rewrite", "times", aim,
                       http=of(f"tarn, 1% of the keys, {how}{marked}", "of_clean"))
    yield Goal("compaction, full rewrite of 10M rows", "of the rows/s of the faster DuckDB COPY", "times", 0.8, True,
               http=times(of("tarn, full rewrite", "of_best")))


def steady(found):
    for load in ("compacting", "importing", "under 1,000 changes a second"):
        yield Goal(f"steadiness, {load}", "p99 of the quiet p99, five questions together", "times", 1.3,
                   http=found.value("steadiness", "all five", f"tarn, hot, {load}", "of_quiet"), by_http=True)


def scale(found):
    lines = [line for line in found.sections.get("scale", {}).get("lines", []) if line["mine"]]
    whole = {"counts before", "counts after", "changes and compaction"} <= {line["query"] for line in lines}
    yield Goal("TPC-H SF 10, most memory held", "server, worker and jobs, in any step", "MB", 4096, by_http=True,
               http=max(line["peak_mb"] for line in lines) if whole else None, why="" if whole else "not all steps were done")
    for line in lines:
        yield Goal(f"TPC-H SF 10, {line['query']}", "of the best peer's time", "times", None, http=line.get("of_best"), by_http=True, beside=True)
