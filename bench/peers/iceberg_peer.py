"""PyIceberg: a table in a SQLite catalog, changed by its upsert, read by its scan."""
import pathlib

import pyarrow
import pyarrow.compute
import pyarrow.parquet
import pyiceberg
from pyiceberg.catalog.sql import SqlCatalog

from digest import digest
from speak import System, speak


class Iceberg(System):
    def version(self):
        return "PyIceberg " + pyiceberg.__version__

    def setup(self, dir, tables, mode):
        pathlib.Path(dir, "warehouse").mkdir(parents=True)
        catalog = SqlCatalog("bench", uri=f"sqlite:///{dir}/catalog.db", warehouse=f"file://{dir}/warehouse")
        catalog.create_namespace("bench")
        self.keys, self.tables = {}, {}
        for name, table in tables.items():
            held = pyarrow.concat_tables([pyarrow.parquet.read_table(f) for f in table["files"]])
            # A table that the catalog makes from this schema has columns that may be null;
            # the batches come with the same schema, so that they fit.
            self.tables[name] = catalog.create_table(f"bench.{name}", schema=nullable(held).schema)
            self.tables[name].append(nullable(held))
            self.keys[name] = table["key"]

    def apply(self, table, batch):
        self.tables[table].upsert(nullable(batch), join_cols=self.keys[table])

    def run(self, sql, count=False):
        """Not asked in SQL; what the upserts left is read by its scan as count and sum."""
        table, column = sql.split()
        held = self.tables[table].scan(selected_fields=(column,)).to_arrow()
        answer = pyarrow.table({"n": [held.num_rows], "s": [pyarrow.compute.sum(held[column]).as_py()]})
        return {"rows": 1, "digest": digest(answer)}


def nullable(table):
    return table.cast(pyarrow.schema([f.with_nullable(True) for f in table.schema]))


if __name__ == "__main__":
    speak(Iceberg())
