"""delta-rs: a Delta table, changed by its merge, read by its own SQL (DataFusion)."""
import deltalake
import pyarrow
import pyarrow.dataset
import pyarrow.parquet

from speak import System, speak, timed


class Delta(System):
    def version(self):
        return "delta-rs " + deltalake.__version__

    def setup(self, dir, tables, mode):
        self.dir, self.keys, self.tables = dir, {}, {}
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
        self.merge(table, batch).when_matched_update_all().when_not_matched_insert_all().execute()

    def merge(self, table, batch):
        key = " AND ".join(f"t.{k} = s.{k}" for k in self.keys[table])
        return self.tables[table].merge(batch, key, source_alias="s", target_alias="t")

    def bring_in(self, table, path, key):
        """A file as a table, batch by batch."""
        self.keys[table] = key
        answer = timed(lambda: deltalake.write_deltalake(f"{self.dir}/{table}", stream(path)))
        self.tables[table] = deltalake.DeltaTable(f"{self.dir}/{table}")
        return answer

    def change(self, table, path, how):
        """The rows of a file: how is insert, update (of rows that exist) or upsert."""
        if how == "insert":
            return timed(lambda: deltalake.write_deltalake(self.tables[table], stream(path), mode="append"))
        if how == "update":
            return timed(lambda: self.merge(table, stream(path)).when_matched_update_all().execute())
        return timed(lambda: self.apply(table, stream(path)))

    def compact(self, table):
        """It joins small files; idle says that there were none."""
        said = {}
        answer = timed(lambda: said.update(self.tables[table].optimize.compact()))
        return {**answer, "idle": said["numFilesAdded"] == 0}

    def tidy(self, table):
        """Delete the files that no later version needs, and read what there is from now on."""
        self.tables[table].vacuum(0, dry_run=False, enforce_retention_duration=False)
        self.reader()

    def upsert(self, table, path):
        answer = super().upsert(table, path)
        self.reader()
        return answer


def stream(path):
    return pyarrow.dataset.dataset(path).scanner().to_reader()


if __name__ == "__main__":
    speak(Delta())
