"""A peer process, as the driver has it."""
import json
import os
import pathlib
import subprocess

SCRIPTS = pathlib.Path(__file__).resolve().parents[1] / "peers"

# name -> environment and script
KINDS = {
    "duckdb2": ("peers", "duckdb_peer.py"),
    "duckdb15": ("duckdb-1.5", "duckdb_peer.py"),
    "datafusion": ("peers", "datafusion_peer.py"),
    "polars": ("peers", "polars_peer.py"),
    "chdb": ("peers", "chdb_peer.py"),
    "ducklake": ("ducklake", "ducklake_peer.py"),
    "delta": ("peers", "delta_peer.py"),
    "iceberg": ("peers", "iceberg_peer.py"),
    "tarn": ("peers", "tarn_peer.py"),
}


class PeerError(Exception):
    """What a peer answered instead of an answer."""


class Peer:
    def __init__(self, kind, environments, log):
        environment, script = KINDS[kind]
        self.kind = kind
        self.process = subprocess.Popen([environments[environment] / "bin" / "python", SCRIPTS / script],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
                                        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})

    def call(self, op, **request):
        self.process.stdin.write(json.dumps({"op": op, **request}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise PeerError(f"{self.kind} {op}: it ended")
        answer = json.loads(line)
        if "error" in answer:
            raise PeerError(f"{self.kind} {op} {json.dumps(request)[:300]}: {answer['error']}")
        return answer

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
