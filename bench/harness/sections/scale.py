"""Scale: a table of 60,000,000 rows is imported, changed and compacted, tarn beside DuckLake
and delta-rs, one system after the other, and what each holds in memory meanwhile."""
import http.client
import os
import signal
import time

import memory
import race
from peer import PeerError

TABLE, KEY = "lineitem", ["l_orderkey", "l_linenumber"]
# So that all of it stays below 4 GB, with changes of 5% of the rows read from their files, not held.
FLAGS = ("--no-compact-auto", "--cache-size", "500MB", "--query-memory-bytes", "3GB", "--large-delta-bytes", "16MB")
TOGETHER = "changes and compaction"
STEP_S, STEP_BYTES = 600, 12_000_000_000  # a system whose step takes more is left out from there on
CHANGED = "(l_quantity + 1)::DECIMAL(15, 2) AS l_quantity, 'changed ' || l_linenumber AS l_comment"
SUMS = ("select cast(count(*) as varchar) as n, cast(count(distinct l_orderkey) as varchar) as orders, "
        "cast(sum(l_orderkey * l_linenumber) as varchar) as keys, cast(sum(l_quantity) as varchar) as quantity, "
        "cast(sum(l_extendedprice) as varchar) as price, cast(sum(length(l_comment)) as varchar) as comments from {from}")


def measure(lab):
    file = lab.data.tpch(lab.o.big_tpch, (TABLE,))[TABLE]
    with lab.section():  # what makes the data ends here, and with it the memory that it holds
        changes = list(batches(lab, file))
        want = truth(lab, file, [batch for _, batch in changes])
    steps = [("import", file), *changes, ("counts before", None), ("compaction", None), ("counts after", None)]
    lines = []
    for system in (Tarn, DuckLake, Delta):
        done = list(measured(lab, system, steps, want))
        lines += [*done, *together(done)]
    return {"lines": [beside(line, lines) for line in lines], "facts": []}


def batches(lab, file):
    """Steps and the rows that they send: no key is in two of them. TPC-H's order keys leave 24
    of 32 free, which is where new orders come in, as in its own refresh."""
    folder = file.with_name("batches")
    folder.mkdir(exist_ok=True)
    for again, slot in (("", 0), (" again", 1)):
        new = 8 + 8 * slot
        yield f"upsert 1%{again}", write(lab, file, folder / f"upsert-{slot}.parquet", f"l_orderkey % 100 = {17 + slot}",
                                         f"CASE WHEN l_orderkey // 100 % 10 = 0 THEN l_orderkey + 24 ELSE l_orderkey END AS l_orderkey, {CHANGED}")
        yield f"insert 5%{again}", write(lab, file, folder / f"insert-{slot}.parquet", f"l_orderkey % 20 = {3 + slot}",
                                         f"l_orderkey + {new} AS l_orderkey")
        yield f"update 5%{again}", write(lab, file, folder / f"update-{slot}.parquet", f"l_orderkey % 20 = {7 + slot}", CHANGED)


def write(lab, file, out, where, change):
    if not out.exists():
        lab.say(f"make {out.name}")
    return lab.data.write(f"SELECT * REPLACE ({change}) FROM read_parquet('{file}') WHERE {where}", out)


def truth(lab, file, sent):
    """What all must hold in the end: what was there with what was sent."""
    lab.say("what all must hold")
    return lab.data.maker().call("run", sql=f"""with sent as (select * from read_parquet([{', '.join(f"'{s}'" for s in sent)}]))
        {SUMS.replace('{from}', f"(select * from read_parquet('{file}') anti join sent using (l_orderkey, l_linenumber) union all from sent)")}""")


def measured(lab, system, steps, want):
    """A line for each step that the system could do."""
    with lab.section():
        subject = system(lab)
        for step, file in steps:
            lab.say(f"{system.NAME}: {step}")
            with Limit(subject.pid) as limit:
                try:
                    answer = subject.do(step.split()[0], file)
                except (PeerError, OSError, RuntimeError, http.client.HTTPException) as err:
                    limit.why = limit.why or f"failed: {' '.join(str(err).split())[-300:]}"
            if limit.why:
                asked = step.startswith("counts") and subject.lives()  # a question alone: what comes after it can be done
                lab.leave_out(f"{system.NAME} at TPC-H SF {lab.o.big_tpch:g}{'' if asked else ' from there on'}, {step}: it {limit.why}.")
                if asked:
                    continue
                return
            if step.startswith("counts") and (answer["rows"], answer["digest"]) != (want["rows"], want["digest"]):
                raise race.WrongAnswer(f"{system.NAME}: {step} are not those of what was sent")
            yield {"query": step, "system": system.NAME, "mine": system is Tarn, "place": "scale", "data": "clean", "runs": 1,
                   "idle": answer.get("idle", False), **times(answer["ms"]), "peak_mb": limit.bytes / 1e6}
            subject.tidy()


def together(lines):
    """The changes and the compaction of a system that did them all, as one pays now what another pays later."""
    parts = [line for line in lines if line["query"] != "import" and not line["query"].startswith("counts")]
    if parts and parts[-1]["query"] == "compaction":
        yield {**parts[-1], "query": TOGETHER, "idle": False, **times(sum(line["median_ms"] for line in parts)),
               "peak_mb": max(line["peak_mb"] for line in parts)}


def times(ms):
    """Of one round there is no spread."""
    return {"median_ms": ms, "p10_ms": ms, "p90_ms": ms}


def beside(line, lines):
    peers = {p["system"]: p["median_ms"] for p in lines if p["query"] == line["query"] and not p["mine"] and not p["idle"]}
    best = min(peers, key=peers.get, default=None)
    return {**line, "best_peer": best, "of_best": line["median_ms"] / peers[best]} if best else line


class Limit(memory.Peak):
    """The most that was held; one that holds or takes too much is ended."""
    why = None

    def watch(self):
        until = time.monotonic() + STEP_S
        while True:
            held = memory.tree(self.pid)
            self.bytes = max(self.bytes, sum(held.values()))
            if self.bytes > STEP_BYTES:
                self.why = f"held more than {STEP_BYTES / 1e9:.0f} GB"
            elif time.monotonic() > until:
                self.why = f"took more than {STEP_S // 60} minutes"
            if self.why:
                for pid in held:
                    os.kill(pid, signal.SIGKILL)
            if self.why or self.done.wait(0.02):
                return


class Tarn:
    NAME = "tarn"

    def __init__(self, lab):
        self.lab, self.server = lab, lab.server(*FLAGS)
        self.pid = self.server.process.pid

    def do(self, step, file):
        if step == "counts":
            return self.lab.peer("tarn", self.server).call("run", sql=SUMS.replace("{from}", TABLE))
        began = time.perf_counter()
        if step == "import":
            self.server.bring_in(TABLE, file, KEY)
        elif step == "compaction":
            self.server.json("POST", "/query/compact", {"dataset": TABLE})
        else:
            self.server.upsert(TABLE, file)
        return {"ms": (time.perf_counter() - began) * 1000}

    def lives(self):
        return self.server.process.poll() is None

    def tidy(self):
        pass


class Library:
    """A peer that is told the step by its name."""

    def __init__(self, lab):
        self.peer = lab.peer(self.KIND, {})
        self.pid = self.peer.process.pid

    def do(self, step, file):
        if step == "counts":
            return self.peer.call("run", sql=SUMS.replace("{from}", TABLE))
        if step == "import":
            return self.peer.call("bring_in", table=TABLE, path=str(file), key=KEY)
        if step == "compaction":
            return self.peer.call("compact", table=TABLE)
        return self.peer.call("change", table=TABLE, path=str(file), how=step)

    def lives(self):
        return self.peer.process.poll() is None

    def tidy(self):
        self.peer.call("tidy", table=TABLE)


class DuckLake(Library):
    NAME, KIND = "DuckLake", "ducklake"


class Delta(Library):
    NAME, KIND = "delta-rs", "delta"
