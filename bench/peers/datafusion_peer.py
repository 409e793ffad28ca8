"""DataFusion over Parquet files (mode "files") or over Arrow batches in memory, in as
many partitions as there are cores ("memory")."""
import os

import datafusion
import pyarrow
import pyarrow.parquet

from speak import System, speak


class DataFusion(System):
    def __init__(self):
        self.context = datafusion.SessionContext()

    def version(self):
        return "DataFusion " + datafusion.__version__

    def setup(self, dir, tables, mode):
        for name, table in tables.items():
            if mode == "files":
                [file] = table["files"]
                self.context.register_parquet(name, file)
                continue
            held = pyarrow.concat_tables([pyarrow.parquet.read_table(f) for f in table["files"]])
            batches = held.to_batches(max_chunksize=8192)
            parts = os.cpu_count() or 1
            size = -(-len(batches) // parts) or 1
            self.context.register_record_batches(name, [batches[i:i + size] for i in range(0, len(batches), size)])

    def query(self, sql):
        return self.context.sql(sql).to_arrow_table()


if __name__ == "__main__":
    speak(DataFusion())
