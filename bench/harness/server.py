"""A tarn server on a lake of its own, and the calls that are not measured."""
import http.client
import json
import signal
import subprocess
import time
import urllib.parse


class Server:
    def __init__(self, tarn, lake, log, *flags):
        self.command = [tarn, "serve", "--data", lake, "--listen", "127.0.0.1:0", "--log-level", "warn", *flags]
        self.lake, self.log = lake, log
        self.start()

    def start(self):
        """Start it, and say how many ms it took until it was ready."""
        began = time.perf_counter()
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log, text=True)
        line = self.process.stdout.readline()
        self.ready_ms = (time.perf_counter() - began) * 1000
        if " at http://" not in line:
            raise RuntimeError(f"tarn serve did not start: {line!r}")
        self.url = line.split(" at ")[-1].strip()
        self.address = urllib.parse.urlsplit(self.url).netloc

    def call(self, method, path, body=None, **headers):
        connection = http.client.HTTPConnection(self.address, timeout=900)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:500]!r}")
        return json.loads(answer) if answer else None

    def json(self, method, path, value):
        return self.call(method, path, json.dumps(value), Content_Type="application/json")

    def bring_in(self, dataset, file, key):
        """Import a Parquet file by uploading it."""
        query = "?primary_key=" + ",".join(key) if key else ""
        with open(file, "rb") as f:
            return self.call("POST", f"/datasets/{dataset}/import{query}", f,
                             Content_Type="application/vnd.apache.parquet", Content_Length=str(file.stat().st_size))

    def upsert(self, dataset, file):
        return self.call("POST", f"/datasets/{dataset}/rows", file.read_bytes(), Content_Type="application/vnd.apache.parquet")

    def drop(self, dataset):
        self.call("DELETE", f"/datasets/{dataset}")

    def pin(self, dataset):
        self.json("POST", "/query/cache/pin", {"dataset": dataset})

    def stats(self):
        return self.call("GET", "/query/cache/stats")

    def base_files(self, dataset, namespace="main"):
        found = sorted(self.lake.glob(f"base/{namespace}/{dataset}-*/data/*.parquet"))
        if not found:
            raise RuntimeError(f"no base files of {namespace}.{dataset} in the lake")
        return found

    def stop(self):
        """Drain it; a second call does nothing."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()

    close = stop
