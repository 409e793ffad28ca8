"""What a section works with: peers, servers, data, and folders that go when it ends."""
import contextlib
import shutil
import subprocess
import sys
import tempfile
import pathlib
import time

import environments
from data import Data
from peer import Peer
from server import Server


class Lab:
    def __init__(self, options):
        self.o = options
        self.began = time.monotonic()
        self.work = options.work
        self.work.mkdir(parents=True, exist_ok=True)
        self.log = open(self.work / "log.txt", "a")
        self.environments = environments.make(self.work, self.say)
        self.data = Data(self)
        self.versions = {"tarn": subprocess.run([self.o.tarn, "version"], check=True, capture_output=True, text=True).stdout.split()[1]}
        self.left_out = []
        self.stack = contextlib.ExitStack()

    def say(self, step):
        print(f"{time.monotonic() - self.began:7.1f} s  {step}", file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def section(self):
        """All that is started inside ends with it, the last first."""
        outer, self.stack = self.stack, contextlib.ExitStack()
        try:
            with self.stack:
                yield self
        finally:
            self.stack = outer

    def folder(self, name):
        made = pathlib.Path(tempfile.mkdtemp(prefix=name + "-", dir=self.work))
        self.stack.callback(shutil.rmtree, made, ignore_errors=True)
        return made

    def peer(self, kind, tables=None, mode="files"):
        """Start a peer and give it its tables; for tarn, tables is the server."""
        folder = None if kind == "tarn" else self.folder(kind)
        peer = Peer(kind, self.environments, self.log)
        self.stack.callback(peer.close)
        if kind == "tarn":
            peer.call("setup", url=tables.url)
        elif tables is not None:
            peer.call("setup", dir=str(folder), tables=tables, mode=mode)
        self.versions.setdefault(kind, peer.call("version")["version"])
        return peer

    def server(self, *flags):
        server = Server(self.o.tarn, self.folder("lake"), self.log, *flags)
        self.stack.callback(server.stop)
        return server

    def leave_out(self, why):
        self.left_out.append(why)
