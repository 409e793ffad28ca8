"""A peer: one system in a process of its own, asked over stdin, answering on stdout.

A request is a line of JSON with "op" and that op's arguments; an answer is a line of
JSON: {"ms": ..., "rows": ..., "digest": ...}, or {"error": "..."}. What a library
prints goes to stderr. A peer imports its own library and pyarrow, nothing else, so its
memory is its own.

What is timed is in System.run and System.upsert: from the call of the library to the
last value of its result in memory. Reading the request, and the digest of the answer,
are outside.
"""
import gc
import json
import os
import sys
import time

import pyarrow
import pyarrow.parquet

from digest import digest


class System:
    """What every peer can do; a peer gives the parts that raise here."""

    def setup(self, dir, tables, mode):
        """Take the tables in: name -> {"files": [path, ...], "key": [column, ...]}."""
        raise NotImplementedError

    def query(self, sql):
        """Run it to the last row. This alone is timed."""
        raise NotImplementedError

    def table(self, result):
        """What query gave, as a pyarrow table or a list of rows. Not timed."""
        return result

    def apply(self, table, batch):
        """Upsert the rows of a pyarrow table by key. This alone is timed."""
        raise NotImplementedError

    def version(self):
        raise NotImplementedError

    def run(self, sql, count=False):
        gc.collect()
        began = time.perf_counter()
        result = self.query(sql)
        ms = (time.perf_counter() - began) * 1000
        table = self.table(result)
        return {"ms": ms, "rows": len(table), "digest": "" if count else digest(table)}

    def upsert(self, table, path):
        batch = pyarrow.parquet.read_table(path)
        gc.collect()
        began = time.perf_counter()
        self.apply(table, batch)
        return {"ms": (time.perf_counter() - began) * 1000, "rows": batch.num_rows}

    def close(self):
        pass


def timed(act):
    """How long it takes, reading what it reads included."""
    gc.collect()
    began = time.perf_counter()
    act()
    return {"ms": (time.perf_counter() - began) * 1000}


def rss_bytes():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def handle(system, op, request):
    if op == "setup":
        began = time.perf_counter()
        system.setup(**request)
        return {"ms": (time.perf_counter() - began) * 1000}
    if op == "version":
        return {"version": system.version()}
    if op == "rss":
        gc.collect()
        return {"bytes": rss_bytes()}
    return getattr(system, op)(**request) or {}


def speak(system):
    """Answer requests until stdin ends."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    gc.disable()
    for line in sys.stdin:
        request = json.loads(line)
        op = request.pop("op")
        try:
            answer = handle(system, op, request)
        except Exception as err:  # the driver decides what an error means
            answer = {"error": f"{type(err).__name__}: {err}"[:2000]}
        out.write(json.dumps(answer) + "\n")
        out.flush()
    system.close()
