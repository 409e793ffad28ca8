"""Clients: more and more that ask the hot group by at once, each on a connection of its own
and the next time when it was answered."""
import statistics

import entrants
import storm
from curves import CORES, QUEUE, point
from queries import STAFFING

ROUNDS = 3


class Asker(storm.Writer):
    HEADERS = "Content-Type: text/plain\r\nCache-Control: no-cache\r\n"


def measure(lab):
    server = entrants.tarn_hot(lab, {"timesheets": lab.data.staffing()["timesheets"]})
    sql = STAFFING["group"].replace("{timesheets}", "timesheets")
    storms = {clients: [] for clients in lab.o.clients}
    for n in range(ROUNDS):
        lab.say(f"curve: clients, round {n + 1}")
        for clients, found in storms.items():
            found.append(storm.run(server.address, "/query/sql", [[sql.encode()]] * clients, lab.o.storm_s / 2, Asker))
    lab.peer("tarn", server).call("run", sql=sql, served="image")  # it was in memory to the end
    of = lambda found, what: statistics.median(one[what] for one in found)
    return [point("clients", query, unit, ideal, "tarn, hot", clients, of(found, what))
            for query, unit, ideal, what in [("hot group, all clients", "queries a second", CORES, "per_s"), ("hot group, p99", "ms", QUEUE, "p99_ms")]
            for clients, found in storms.items()]
