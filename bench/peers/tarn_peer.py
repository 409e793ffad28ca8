"""A client of a tarn server: HTTP/1.1 over one kept connection, each answer read to its
last byte. Timed: from the first byte of the request to the last of the answer."""
import gc
import http.client
import json
import time
import urllib.parse

import pyarrow
import pyarrow.parquet

from digest import digest
from speak import System, speak

ARROW = "application/vnd.apache.arrow.stream"


class Tarn(System):
    def setup(self, url):
        self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(url).netloc, timeout=600)
        self.connection.connect()

    def version(self):
        return json.loads(self.call("GET", "/health")[1])["version"]

    def call(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        answer = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:500]!r}")
        return response.headers, answer

    def run(self, sql, again=False, served=None, count=False):
        """Ask; served says where the answer must come from: image or parquet."""
        headers = {"Accept": ARROW, "Content-Type": "application/json"}
        if not again:
            headers["Cache-Control"] = "no-cache"
        body = json.dumps({"sql": sql})
        gc.collect()
        began = time.perf_counter()
        got, answer = self.call("POST", "/query/sql", body, **headers)
        ms = (time.perf_counter() - began) * 1000
        said = set(json.loads(got.get("Tarn-Served-From") or "{}").values())
        if served and said != {served}:
            raise RuntimeError(f"served from {said}, not from {served}: {sql}")
        table = pyarrow.ipc.open_stream(answer).read_all()
        return {"ms": ms, "rows": table.num_rows, "digest": "" if count else digest(table),
                "hit": got.get("Tarn-Result-Cache") == "hit"}

    def get(self, path):
        """A row by its key."""
        gc.collect()
        began = time.perf_counter()
        _, answer = self.call("GET", path)
        return {"ms": (time.perf_counter() - began) * 1000, "rows": 1, "row": json.loads(answer)}

    def stream(self, sql, accept):
        """Read a long answer to its end in pieces, as a client that does not hold it does."""
        piece, size, last = bytearray(1 << 20), 0, b""
        began = time.perf_counter()
        self.connection.request("POST", "/query/sql", json.dumps({"sql": sql}), {
            "Accept": accept, "Content-Type": "application/json", "Cache-Control": "no-cache"})
        response = self.connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"{response.status} {response.read()[:500]!r}")
        while n := response.readinto(piece):
            size, last = size + n, bytes(piece[max(0, n - 200):n])
        ms = (time.perf_counter() - began) * 1000
        return {"ms": ms, "bytes": size, "end": last.decode("utf-8", "replace")}

    def upsert(self, table, path, form="arrow"):
        batch = pyarrow.parquet.read_table(path)
        kind, body = (ARROW, arrow_stream(batch)) if form == "arrow" else ("application/x-ndjson", ndjson(batch))
        gc.collect()
        began = time.perf_counter()
        self.call("POST", f"/datasets/{table}/rows", body, Content_Type=kind)
        return {"ms": (time.perf_counter() - began) * 1000, "rows": batch.num_rows}


def arrow_stream(table):
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def ndjson(table):
    return "\n".join(json.dumps(row, default=str) for row in table.to_pylist()).encode()


if __name__ == "__main__":
    speak(Tarn())
