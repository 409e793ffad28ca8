"""Entrants that more than one section has."""
import queries
from data import tables
from race import Entrant, race

# kind, mode, name, place
PEERS = [
    ("duckdb2", "files", "DuckDB 2.0, Parquet", "files"),
    ("duckdb15", "files", "DuckDB 1.5, Parquet", "files"),
    ("datafusion", "files", "DataFusion, Parquet", "files"),
    ("polars", "files", "Polars, Parquet", "files"),
    ("chdb", "files", "chdb, Parquet", "files"),
    ("duckdb2", "memory", "DuckDB 2.0, in memory", "memory"),
    ("duckdb2", "compressed", "DuckDB 2.0, compressed", "memory"),
    ("duckdb15", "memory", "DuckDB 1.5, in memory", "memory"),
    ("duckdb15", "compressed", "DuckDB 1.5, compressed", "memory"),
    ("datafusion", "memory", "DataFusion, in memory", "memory"),
    ("polars", "memory", "Polars, in memory", "memory"),
    ("chdb", "memory", "chdb, MergeTree", "memory"),
]


def peers(lab, files, without=()):
    """A function of a question and its key that gives the peers' entrants; kinds in
    without are not started."""
    started = [(kind, lab.peer(kind, tables(files), mode), name, place) for kind, mode, name, place in PEERS if kind not in without]

    def entrants(sql, key):
        return [Entrant(name, asking(peer, sql, kind, key), place) for kind, peer, name, place in started]
    return entrants


def asking(peer, sql, kind, key, prefix="", **more):
    return lambda n: peer.call("run", sql=queries.text(sql, kind, prefix, key(n)), **more)


def again(client, sql):
    """The same question each time: from the second on, the answer that was kept."""
    def ask(n):
        answer = client.call("run", sql=queries.text(sql, "tarn"), again=True)
        if n >= 0 and not answer["hit"]:
            raise RuntimeError(f"asked again, the answer was not the one that was kept: {sql}")
        return answer
    return ask


def tarn_cold(lab, files, *flags):
    """A server that holds nothing in memory, with the files imported."""
    lab.say("import into a lake that stays cold")
    server = lab.server("--cache-size", "0", "--no-compact-auto", *flags)
    bring_in(server, files)
    return server


def tarn_hot(lab, files, *flags):
    """A server with the files imported and pinned."""
    lab.say("import into a lake that is hot")
    server = lab.server("--no-compact-auto", *flags)
    bring_in(server, files)
    for name in files:
        server.pin(name)
    return server


def bring_in(server, files, namespace=""):
    for name, file in files.items():
        server.bring_in(namespace + name, file, tables({name: file})[name]["key"])


def everyone(lab, files, questions, rounds, without=()):
    """All peers and tarn on the same files: the lines of a race of each question."""
    cold, hot = tarn_cold(lab, files), tarn_hot(lab, files)
    cold_client, hot_client = lab.peer("tarn", cold), lab.peer("tarn", hot)
    lab.say("start the peers")
    others = peers(lab, files, without)
    own = lab.peer("duckdb15", {name: {"files": [str(f) for f in cold.base_files(name)], "key": []} for name in files}, "files")
    lines = []
    for query, sql in questions.items():
        lab.say(f"race: {query}")
        key = lambda n: queries.key(n, lab.data.candidates())
        lines += race(query, others(sql, key) + [
            Entrant("DuckDB 1.5, tarn's files", asking(own, sql, "duckdb15", key), "tarn's files"),
            Entrant("tarn, cold", asking(cold_client, sql, "tarn", key, served="parquet"), "files", mine=True),
            Entrant("tarn, hot", asking(hot_client, sql, "tarn", key, served="image"), "memory", mine=True),
            *by_key(query, cold_client, hot_client, key),
            # A row by its key has no answer that is kept: all such rows are held.
            *([] if "{key}" in sql else [Entrant("tarn, asked again", again(hot_client, sql), "again", mine=True)]),
        ], rounds, lab.o.warmups)
    return lines


def by_key(query, cold, hot, key):
    if query != "point":
        return []

    def get(client):
        def ask(n):
            answer = client.call("get", path=f"/datasets/candidates/rows/{key(n)}")
            if answer["row"]["candidate_id"] != key(n):
                raise RuntimeError(f"the row of key {key(n)} is {answer['row']}")
            return answer
        return ask
    return [Entrant("tarn, cold, by key", get(cold), "files", mine=True, compare=False),
            Entrant("tarn, hot, by key", get(hot), "memory", mine=True, compare=False)]
