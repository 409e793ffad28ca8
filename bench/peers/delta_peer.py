"""delta-rs: a Delta table, changed by its merge, read by its own SQL (DataFusion)."""
import deltalake
import pyarrow
import pyarrow.parquet

from speak import System, speak


class Delta(System):
    def version(self):
        return "delta-rs " + deltalake.__version__

    def setup(self, dir, tables, mode):
        self.keys, self.tables = {}, {}
        for name, table in tables.items():
            held = pyarrow.concat_tables([pyarrow.parquet.read_table(f) for f in table["files"]])
            deltalake.write_deltalake(f"{dir}/{name}", held)
            self.keys[name], self.tables[name] = table["key"], deltalake.DeltaTable(f"{dir}/{name}")
        self.reader()

    def reader(self):
        self.builder = deltalake.QueryBuilder()
        for name, table in self.tables.items():
            self.builder.register(name, table)

    def query(self, sql):
        return self.builder.execute(sql).read_all()

    def table(self, result):
        return pyarrow.table(result)

    def apply(self, table, batch):
        (self.tables[table]
         .merge(batch, " AND ".join(f"t.{k} = s.{k}" for k in self.keys[table]), source_alias="s", target_alias="t")
         .when_matched_update_all().when_not_matched_insert_all().execute())

    def upsert(self, table, path):
        answer = super().upsert(table, path)
        self.reader()
        return answer


if __name__ == "__main__":
    speak(Delta())
