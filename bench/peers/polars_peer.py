"""Polars over Parquet files (mode "files": lazy scans) or over frames in memory
("memory"), asked in its SQL."""
import polars

from speak import System, speak


class Polars(System):
    def __init__(self):
        self.context = polars.SQLContext()

    def version(self):
        return "Polars " + polars.__version__

    def setup(self, dir, tables, mode):
        for name, table in tables.items():
            frame = polars.scan_parquet(table["files"])
            self.context.register(name, frame if mode == "files" else frame.collect())

    def query(self, sql):
        return self.context.execute(sql).collect()

    def table(self, result):
        return result.to_arrow()


if __name__ == "__main__":
    speak(Polars())
