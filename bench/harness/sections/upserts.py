"""Upserts of existing keys into the timesheets: batches one at a time, and many writers."""
import statistics

import storm
from data import tables
from race import Entrant, race
from sections import batches


def measure(lab):
    files = {"timesheets": lab.data.staffing()["timesheets"]}
    lab.say("import, pin, and fill DuckLake, delta-rs, PyIceberg")
    hot = lab.server("--no-compact-auto")
    hot.bring_in("timesheets", files["timesheets"], ["timesheet_id"])
    hot.pin("timesheets")
    subjects = [Subject("tarn, hot, Arrow", lab.peer("tarn", hot), True, form="arrow"),
                Subject("tarn, hot, NDJSON", None, True, form="ndjson"),
                Subject("DuckLake", lab.peer("ducklake", tables(files)), False),
                Subject("delta-rs", lab.peer("delta", tables(files)), False),
                Subject("PyIceberg", lab.peer("iceberg", tables(files)), False, every=max(1, lab.o.slow_rounds // 3))]
    subjects[1].peer, subjects[1].sent = subjects[0].peer, subjects[0].sent
    lines = []
    for number, title in enumerate(batches.SIZES):
        lab.say(f"race, upserts: {title}")
        lines += race(title, [s.entrant(lab, number, i) for i, s in enumerate(subjects)], lab.o.slow_rounds, 1)
    for s in subjects:
        s.check(lab, files["timesheets"])
    return {"lines": lines, "facts": writers(lab, hot, subjects[0].peer, subjects[2].peer)}


class Subject:
    """A system that is written to, and what was sent to it."""

    def __init__(self, name, peer, mine, every=1, **more):
        self.name, self.peer, self.mine, self.every, self.more, self.sent = name, peer, mine, every, more, []

    def entrant(self, lab, number, turn):
        def ask(n):
            # Both forms of tarn write into one dataset: each its own rows.
            slot = 2 * (n + 1) + (turn == 1)
            path = batches.make(lab, number, slot)
            self.sent.append(path)
            return self.peer.call("upsert", table="timesheets", path=str(path), **self.more)
        return Entrant(self.name, ask, "upsert", mine=self.mine, compare=False, every=self.every)

    def check(self, lab, base):
        """What it has must be what was there with what was sent."""
        sent = ", ".join(f"'{p}'" for p in sorted(set(self.sent)))
        want = lab.data.maker().call("run", sql=f"""with sent as (select timesheet_id, hours_regular from read_parquet([{sent}]))
            select count(*), sum(hours_regular) from (select timesheet_id, hours_regular from read_parquet('{base}')
            anti join sent using (timesheet_id) union all from sent)""")
        asked = "timesheets hours_regular" if self.name == "PyIceberg" else "select count(*) as n, sum(hours_regular) as s from timesheets"
        got = self.peer.call("run", sql=asked)
        if (got["rows"], got["digest"]) != (want["rows"], want["digest"]):
            raise RuntimeError(f"{self.name}: the rows are not as they were sent")


def writers(lab, hot, client, ducklake):
    """64 writers of one row (tarn), and 16 of ten rows (tarn and DuckLake in turns; DuckLake
    with one writer too, as its writers get in each other's way)."""
    lab.say("many writers")
    single = storm.bodies(lab, 64, 1)
    ten = storm.bodies(lab, 16, 10)
    files = [[str(batches.of_keys(lab, f"storm-16x10-{i}-{n}", keys)) for n, keys in enumerate(own)]
             for i, own in enumerate(storm.keys(lab, 16, 10))]
    found = {"64": [], "tarn": [], "ducklake": [], "alone": [], "p50": [], "p99": []}
    for _ in range(lab.o.storm_rounds):
        one = storm.run(hot.address, "/datasets/timesheets/rows", single, lab.o.storm_s)
        found["64"].append(one["per_s"]), found["p50"].append(one["p50_ms"]), found["p99"].append(one["p99_ms"])
        found["tarn"].append(storm.run(hot.address, "/datasets/timesheets/rows", ten, lab.o.storm_s)["per_s"])
        for name, paths in [("ducklake", files), ("alone", files[:1])]:
            theirs = ducklake.call("storm", table="timesheets", paths=paths, seconds=lab.o.storm_s)
            found[name].append(theirs["commits"] / theirs["seconds"])
    for peer in (client, ducklake):  # they changed rows that exist, so all are there, once
        count = f"select count(distinct timesheet_id) as n from timesheets having count(*) = {lab.data.timesheets()}"
        if peer.call("run", sql=count, count=True)["rows"] != 1:
            raise RuntimeError(f"{peer.kind}: the writers left another number of rows")
    ratio = statistics.median(ours / max(*theirs) for ours, *theirs in zip(found["tarn"], found["ducklake"], found["alone"]))
    http, lake = "tarn, hot, HTTP", "DuckLake"
    return [{"what": what, "system": system, "value": value, "unit": unit} for what, system, value, unit in [
        ("64 writers, one row a request", http, statistics.median(found["64"]), "requests/s"),
        ("64 writers, one row a request, p50", http, statistics.median(found["p50"]), "ms"),
        ("64 writers, one row a request, p99", http, statistics.median(found["p99"]), "ms"),
        ("16 writers, ten rows a commit", http, statistics.median(found["tarn"]), "commits/s"),
        ("16 writers, ten rows a commit", lake, statistics.median(found["ducklake"]), "commits/s"),
        ("one writer, ten rows a commit", lake, statistics.median(found["alone"]), "commits/s"),
        ("16 writers, ten rows a commit, of DuckLake's better", http, ratio, "times")]]
