"""Pending deltas: the same rows with more and more single changes that nothing compacts."""
import storm
from curves import FLAT, of_line
from entrants import asking
from queries import STAFFING
from race import Entrant, race


def measure(lab):
    file = lab.data.staffing()["timesheets"]
    keys = storm.keys(lab, 1, max(lab.o.curve_deltas), 1)[0][0]
    rows = {row["timesheet_id"]: row for row in storm.whole(lab, file, keys)}
    subjects = []
    for state, place, served, flags in [("hot", "memory", "image", ()), ("cold", "files", "parquet", ("--cache-size", "0"))]:
        server = lab.server("--no-compact-auto", *flags)
        client = lab.peer("tarn", server)
        for deltas in lab.o.curve_deltas:
            lab.say(f"curve: {deltas:,} pending deltas, {state}")
            dataset = f"with_{deltas}"
            server.bring_in(dataset, file, ["timesheet_id"])
            if served == "image":
                server.pin(dataset)
            storm.one_by_one(server.address, f"/datasets/{dataset}/rows", [rows[k] for k in keys[:deltas]])
            pending = server.call("GET", f"/datasets/{dataset}")["pending_deltas"]
            ask = asking(client, STAFFING["group"].replace("{timesheets}", dataset), "tarn", lambda n: 1, served=served)
            subjects.append((f"tarn, {state}", pending, Entrant(f"{state}, {deltas}", ask, place, mine=True)))
    lab.say("race, pending deltas")
    lines = race("group", [entrant for _, _, entrant in subjects], lab.o.slow_rounds, lab.o.warmups)
    return [of_line(line, "pending deltas", FLAT, pending, system=system) for line, (system, pending, _) in zip(lines, subjects)]
