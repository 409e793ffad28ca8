"""Datasets: a lake with more and more of a thousand rows each, of which one is asked, and
what server and worker hold."""
import json

import memory
from curves import FLAT, of_line, point
from entrants import asking
from race import Entrant, race

ROWS = 1000
SQL = "select word, count(*) as n, sum(id) as total from d0 group by word"


def measure(lab):
    server, there, found = lab.server("--no-compact-auto"), 0, []
    body = "\n".join(json.dumps({"id": i, "word": f"word {i % 10}"}) for i in range(ROWS))
    client = lab.peer("tarn", server)
    for datasets in lab.o.curve_datasets:
        lab.say(f"curve: {datasets:,} datasets")
        for n in range(there, datasets):
            make(server, f"d{n}", body)
        if not there:
            server.pin("d0")
        there = datasets
        for query, ask in [("a row by its key", by_key(client)), ("grouped", asking(client, SQL, "tarn", lambda n: 1, served="image"))]:
            lines = race(query, [Entrant("tarn, hot", ask, "memory", mine=True, compare=False)], lab.o.rounds, lab.o.warmups)
            found += [of_line(line, "datasets", FLAT, datasets) for line in lines]
        found.append(point("datasets", "server and worker", "MB resident", FLAT, "tarn, hot", datasets,
                           memory.resident(server.process.pid) / 1e6))
    return found


def make(server, name, body):
    server.json("PUT", f"/datasets/{name}", {"columns": [{"name": "id", "type": "BIGINT"}, {"name": "word", "type": "VARCHAR"}],
                                             "primary_key": ["id"]})
    server.call("POST", f"/datasets/{name}/rows", body, Content_Type="application/x-ndjson")


def by_key(client):
    def ask(n):
        answer = client.call("get", path=f"/datasets/d0/rows/{n % ROWS}")
        if answer["row"]["id"] != n % ROWS:
            raise RuntimeError(f"the row of key {n % ROWS} is {answer['row']}")
        return answer
    return ask
