"""DuckLake: its extension in the DuckDB that it belongs to, a DuckDB file as catalog,
Parquet files as data, all settings as they come."""
import importlib.util
import pathlib
import threading
import time

import duckdb
import pyarrow.parquet

from speak import System, speak, timed


def extension():
    package = pathlib.Path(importlib.util.find_spec("duckdb_extension_ducklake").origin).parent
    return next(package.glob("extensions/*/ducklake.duckdb_extension"))


class DuckLake(System):
    def version(self):
        return f"DuckLake (DuckDB {duckdb.__version__})"

    def setup(self, dir, tables, mode):
        self.keys = {name: table["key"] for name, table in tables.items()}
        self.connection = duckdb.connect()
        self.connection.execute(f"LOAD '{extension()}'")
        self.connection.execute(f"ATTACH 'ducklake:{dir}/catalog.ducklake' AS lake (DATA_PATH '{dir}/data')")
        self.connection.execute("USE lake")
        for name, table in tables.items():
            files = ", ".join(f"'{f}'" for f in table["files"])
            self.connection.execute(f"CREATE TABLE {name} AS SELECT * FROM read_parquet([{files}])")

    def query(self, sql):
        return self.connection.execute(sql).fetchall()

    def apply(self, table, batch):
        self.merge(self.connection, table, batch)

    def merge(self, connection, table, batch):
        connection.register("batch", batch)
        key = " AND ".join(f"t.{k} = b.{k}" for k in self.keys[table])
        connection.execute(f"MERGE INTO lake.{table} t USING batch b ON ({key}) "
                           "WHEN MATCHED THEN UPDATE WHEN NOT MATCHED THEN INSERT")
        connection.unregister("batch")

    def bring_in(self, table, path, key):
        self.keys[table] = key
        return timed(lambda: self.connection.execute(f"CREATE TABLE {table} AS SELECT * FROM read_parquet('{path}')"))

    def change(self, table, path, how):
        """The rows of a file: how is insert, update (of rows that exist) or upsert."""
        if how == "insert":
            return timed(lambda: self.connection.execute(f"INSERT INTO {table} SELECT * FROM read_parquet('{path}')"))
        key = " AND ".join(f"t.{k} = b.{k}" for k in self.keys[table])
        new = "WHEN NOT MATCHED THEN INSERT" if how == "upsert" else ""
        return timed(lambda: self.connection.execute(
            f"MERGE INTO lake.{table} t USING (FROM read_parquet('{path}')) b ON ({key}) WHEN MATCHED THEN UPDATE {new}"))

    def compact(self, table):
        calls = [f"ducklake_rewrite_data_files('lake', '{table}', delete_threshold => 0)", f"ducklake_merge_adjacent_files('lake', '{table}')",
                 "ducklake_expire_snapshots('lake', older_than => now())", "ducklake_cleanup_old_files('lake', cleanup_all => true)"]
        return timed(lambda: [self.connection.execute(f"CALL {call}").to_arrow_table() for call in calls])

    def tidy(self, table):
        pass

    def storm(self, table, paths, seconds):
        """A writer for each list of files, upserting their rows in turn, over and over; conflicts
        are tried again."""
        batches = [[pyarrow.parquet.read_table(p) for p in own] for own in paths]
        until = time.perf_counter() + seconds
        commits, conflicts, errors = [0] * len(batches), [0] * len(batches), []

        def write(i):
            connection = self.connection.cursor()
            connection.execute("USE lake")
            while time.perf_counter() < until:
                try:
                    self.merge(connection, table, batches[i][commits[i] % len(batches[i])])
                    commits[i] += 1
                except duckdb.Error as err:
                    if "onflict" not in str(err):
                        errors.append(str(err))
                        return
                    conflicts[i] += 1

        began = time.perf_counter()
        threads = [threading.Thread(target=write, args=(i,)) for i in range(len(batches))]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        if errors:
            raise RuntimeError(errors[0])
        return {"commits": sum(commits), "conflicts": sum(conflicts), "seconds": time.perf_counter() - began}


if __name__ == "__main__":
    speak(DuckLake())
