"""chdb (ClickHouse in a process) over Parquet files (mode "files") or over MergeTree
tables ordered by key ("memory": a session's tables are files, which the system holds in
its cache)."""
import chdb
import pyarrow
from chdb.session import Session

from speak import System, speak


class Chdb(System):
    def version(self):
        return "chdb " + chdb.__version__

    def setup(self, dir, tables, mode):
        self.session = Session(dir)
        self.session.query("CREATE DATABASE IF NOT EXISTS bench ENGINE = Atomic")
        self.session.query("USE bench")
        for name, table in tables.items():
            files = table["files"]
            path = files[0] if len(files) == 1 else "{" + ",".join(files) + "}"
            scan = f"SELECT * FROM file('{path}', Parquet)"
            if mode == "files":
                self.session.query(f"CREATE VIEW {name} AS {scan}")
            else:
                key = ", ".join(table["key"]) or "tuple()"
                self.session.query(f"CREATE TABLE {name} ENGINE = MergeTree ORDER BY ({key}) "
                                   f"SETTINGS allow_nullable_key = 1 AS {scan}")

    def query(self, sql):
        return self.session.query(sql, "ArrowStream").bytes()

    def table(self, result):
        return pyarrow.ipc.open_stream(result).read_all()


if __name__ == "__main__":
    speak(Chdb())
