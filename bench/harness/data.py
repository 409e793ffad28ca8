"""The data: made once, kept in the work folder, the same on every machine."""
import pathlib
import subprocess

from options import REPOSITORY

KEYS = {
    "timesheets": ["timesheet_id"], "candidates": ["candidate_id"],
    "lineitem": ["l_orderkey", "l_linenumber"], "orders": ["o_orderkey"], "customer": ["c_custkey"],
    "flights": [], "wide": ["id"],
}
CHANGES = {"timesheets": ("hours_regular", "DECIMAL(5,2)"), "candidates": ("pay_rate", "DECIMAL(10,2)")}
BATCHES = 10  # requests that the 10% of changed rows come in, each over the whole table


def tables(files):
    """What a peer's setup takes, of name -> file or files."""
    return {name: {"files": [str(f) for f in ([some] if isinstance(some, pathlib.Path) else some)], "key": KEYS[name]}
            for name, some in files.items()}


class Data:
    def __init__(self, lab):
        self.lab, self.dir, self.maker_peer = lab, lab.work / "data", None

    def maker(self):
        """A DuckDB that makes files; it is asked for nothing that is measured."""
        if not self.maker_peer or self.maker_peer.process.poll() is not None:
            self.maker_peer = self.lab.peer("duckdb2", {})
        return self.maker_peer

    def staffing(self, scale=None):
        """name -> Parquet file of timesheets and candidates."""
        scale = self.lab.o.scale if scale is None else scale
        folder = self.dir / f"staffing-{scale:g}"
        if not (folder / "done").exists():
            self.lab.say(f"make the staffing data at scale {scale:g}")
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run([self.lab.o.tarn, "demo", "--scale", f"{scale:g}", "--parquet", folder, "--only-parquet"],
                           check=True, stdout=self.lab.log, stderr=self.lab.log)
            (folder / "done").touch()
        return {name: folder / f"{name}.parquet" for name in ("timesheets", "candidates")}

    def timesheets(self, scale=None):
        return round(1_000_000 * (self.lab.o.scale if scale is None else scale))

    def candidates(self, scale=None):
        return self.timesheets(scale) // 10

    def changed(self):
        """Every tenth row changed: (batches by table, merged file by table)."""
        batches, merged = {}, {}
        for name, file in self.staffing().items():
            (column, kind), key = CHANGES[name], KEYS[name][0]
            change = f"({column} + 0.25)::{kind}"
            scan = f"read_parquet('{file}')"
            batches[name] = [self.write(
                f"SELECT * REPLACE ({change} AS {column}) FROM {scan} WHERE {key} % 10 = 0 AND {key} // 10 % {BATCHES} = {i}",
                file.with_name(f"{name}-change-{i}.parquet")) for i in range(BATCHES)]
            merged[name] = self.write(
                f"SELECT * REPLACE (CASE WHEN {key} % 10 = 0 THEN {change} ELSE {column} END AS {column}) FROM {scan}",
                file.with_name(f"{name}-merged.parquet"))
        return batches, merged

    def write(self, sql, file):
        if not file.exists():
            part = file.with_suffix(".part")
            self.maker().call("execute", sql=f"COPY ({sql}) TO '{part}' (FORMAT parquet)")
            part.rename(file)
        return file

    def tpch(self, scale=None, tables=("lineitem", "orders", "customer")):
        scale = self.lab.o.tpch if scale is None else scale
        folder = self.dir / f"tpch-{scale:g}"
        missing = [name for name in tables if not (folder / f"{name}.parquet").exists()]  # the maker names a file when it is whole
        if missing:
            self.lab.say(f"make TPC-H at scale factor {scale:g}")
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run([self.lab.environments["peers"] / "bin" / "tpchgen-cli", "parquet", "--scale-factor", f"{scale:g}",
                            "--tables", ",".join(missing), "--output-dir", folder],
                           check=True, stdout=self.lab.log, stderr=self.lab.log)
        return {name: folder / f"{name}.parquet" for name in tables}

    def flights(self):
        """The 3,000,000 real flights; None where they cannot be had."""
        folder = self.dir / "real"
        file = folder / "flights-3m.parquet"
        if not file.exists():
            self.lab.say("get the real flights")
            got = subprocess.run([REPOSITORY / "scripts" / "get-real-data", folder], stdout=self.lab.log, stderr=self.lab.log)
            if got.returncode or not file.exists():
                return None
        if self.lab.o.quick:
            file = self.write(f"SELECT * FROM read_parquet('{file}') LIMIT 30000", file.with_name("flights-few.parquet"))
        return {"flights": file}
