"""Five questions asked at a steady pace of a server in memory, in turns while nothing else
runs and beside other work: what the other work does to the slowest answers."""
import concurrent.futures
import statistics
import threading
import time

import entrants
import queries
import stats
import storm

PACE_S = 0.02  # from question to question
PER_S = 1000  # changes
WRITERS = 10
ALL = "all five"


def measure(lab):
    files = lab.data.staffing()
    server = entrants.tarn_hot(lab, files)
    asker = Asker(lab, server)
    loads = [("compacting", compacting(lab, server, files["timesheets"])), ("importing", importing(server, files["timesheets"])),
             (f"under {PER_S:,} changes a second", changing(lab, server))]
    phases, said = {name: [] for name, _ in loads}, {}
    for n in range(lab.o.steady_rounds):
        for name, load in loads:
            lab.say(f"quiet, then {name}, round {n + 1}")
            quiet = asker.ask()
            busy, did = beside(load, asker)
            phases[name].append((quiet, busy))
            for what, value, unit in did:
                said.setdefault((name, what, unit), []).append(value)
            settle(lab, server)
            asker.check()
    return {"lines": [line(name, query, rounds) for name, rounds in phases.items() for query in [*queries.STAFFING, ALL]],
            "facts": [{"what": what, "system": f"tarn, hot, {name}", "value": statistics.median(values), "unit": unit}
                      for (name, what, unit), values in said.items()]}


class Asker:
    """The client: one connection, one question at a time."""

    def __init__(self, lab, server):
        self.lab, self.client, self.asked = lab, lab.peer("tarn", server), 0
        for _ in range(max(lab.o.warmups, 2)):
            self.first = {query: self.one(query, sql, 1) for query, sql in queries.STAFFING.items()}

    def one(self, query, sql, key, **more):
        return self.client.call("run", sql=queries.text(sql, "tarn", key=key), served="image", **more)

    def ask(self):
        """The five in turn for a phase: query -> ms of each answer."""
        took = {query: [] for query in queries.STAFFING}
        due = began = time.perf_counter()
        while time.perf_counter() - began < self.lab.o.steady_s:
            for query, sql in queries.STAFFING.items():
                time.sleep(max(0, due - time.perf_counter()))
                due = max(due, time.perf_counter() - PACE_S) + PACE_S
                self.asked += 1
                answer = self.one(query, sql, queries.key(self.asked, self.lab.data.candidates()), count=True)
                if answer["rows"] != self.first[query]["rows"]:
                    raise RuntimeError(f"{query}: {answer['rows']} rows instead of {self.first[query]['rows']}")
                took[query].append(answer["ms"])
        return took

    def check(self):
        """All work that runs beside leaves the rows as they were."""
        for query, sql in queries.STAFFING.items():
            answer, first = self.one(query, sql, 1), self.first[query]
            if (answer["rows"], answer["digest"]) != (first["rows"], first["digest"]):
                raise RuntimeError(f"{query}: another answer after the other work")


def beside(load, asker):
    """What the client saw beside the load, and what the load says that it did."""
    done = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        working = pool.submit(load, done)
        try:
            busy = asker.ask()
        finally:
            done.set()
        return busy, working.result()


def settle(lab, server):
    server.json("POST", "/query/compact", {})
    time.sleep(lab.o.steady_s / 10)


# Loads: each works until done is set, and gives what it did as (what, value, unit).

def compacting(lab, server, file):
    """Every hundredth timesheet is upserted as it is, and compacted, over and over."""
    folder = lab.folder("batches")
    batches = [lab.data.write(f"SELECT * FROM read_parquet('{file}') WHERE timesheet_id % 100 = {slot}", folder / f"{slot}.parquet")
               for slot in range(10)]

    def load(done):
        took = []
        while not done.is_set():
            server.upsert("timesheets", batches[len(took) % len(batches)])
            took.append(server.json("POST", "/query/compact", {"dataset": "timesheets"})["elapsed_ms"])
        return [("compactions a phase", len(took), ""), ("a compaction, p50", statistics.median(took), "ms")]
    return load


def importing(server, file):
    def load(done):
        took = []
        while not done.is_set():
            began = time.perf_counter()
            server.bring_in("taken", file, ["timesheet_id"])
            took.append((time.perf_counter() - began) * 1000)
            server.drop("taken")
        return [("imports a phase", len(took), ""), ("an import, p50", statistics.median(took), "ms")]
    return load


def changing(lab, server):
    """Single rows as they are, by writers with a connection each."""
    bodies = storm.bodies(lab, WRITERS, 1, min(1000, lab.data.timesheets() // WRITERS))

    def load(done):
        got = storm.paced(server.address, "/datasets/timesheets/rows", bodies, PER_S, done)
        return [("changes", got["per_s"], "a second"), ("a change, p50", got["p50_ms"], "ms"), ("a change, p99", got["p99_ms"], "ms")]
    return load


def line(name, query, rounds):
    """A question beside a load; each figure is the median of those of the rounds."""
    pairs = [tuple(values(phase, quiet, query) for phase in (quiet, busy)) for quiet, busy in rounds]
    figure = lambda which, q: statistics.median(stats.quantile(pair[which], q) for pair in pairs)
    return {"query": query, "system": f"tarn, hot, {name}", "mine": True, "runs": sum(len(busy) for _, busy in pairs),
            "quiet_p50": figure(0, 0.5), "quiet_p99": figure(0, 0.99), "busy_p50": figure(1, 0.5), "busy_p99": figure(1, 0.99),
            "of_quiet": statistics.median(stats.quantile(busy, 0.99) / stats.quantile(quiet, 0.99) for quiet, busy in pairs)}


def values(phase, quiet, query):
    """The ms of a question; of all together each divided by that question's median while quiet."""
    if query != ALL:
        return phase[query]
    return [ms / statistics.median(quiet[q]) for q in phase for ms in phase[q]]
