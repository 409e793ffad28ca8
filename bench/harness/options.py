"""What is measured, and how long."""
import argparse
import dataclasses
import pathlib

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

SECTIONS = ["inside", "staffing", "changed", "upserts", "memory", "tpch", "flights", "results", "imports",
            "compaction", "steadiness", "deltas", "curves", "scale"]


@dataclasses.dataclass
class Options:
    tarn: pathlib.Path
    work: pathlib.Path  # environments and made data; kept
    out: pathlib.Path  # PERFORMANCE.md and performance/
    only: list
    quick: bool

    scale: float = 1  # of the staffing data: 1 is 1,000,000 timesheets
    tpch: float = 1
    rounds: int = 31  # of a query that takes some ms
    slow_rounds: int = 11  # of what takes longer
    warmups: int = 3
    storm_s: float = 4  # one turn of many writers
    storm_rounds: int = 5
    deltas: int = 10_000  # pending in one dataset
    datasets: int = 1_000  # of the lake that is opened
    compaction_rows: int = 10_000_000
    steady_s: float = 10  # a phase, quiet or beside other work
    steady_rounds: int = 3
    curve: tuple = (0.1, 1, 10)  # scales of the staffing data
    columns: tuple = (10, 50, 200, 1000)
    wide_rows: int = 100_000  # with so many columns
    curve_datasets: tuple = (1, 10, 100, 1000)
    files: tuple = (1, 10, 100, 200)  # as many imports make them
    curve_deltas: tuple = (1, 10, 100, 1000, 10_000)
    clients: tuple = (1, 2, 4, 8, 16, 32)
    big_tpch: float = 10  # of the section scale

    def shortened(self):
        """Two minutes: answers are compared, the figures mean little."""
        return dataclasses.replace(
            self, scale=0.01, tpch=0.01, rounds=3, slow_rounds=2, warmups=1, storm_s=0.3, storm_rounds=2,
            deltas=60, datasets=20, compaction_rows=50_000, steady_s=1, steady_rounds=1, curve=(0.005, 0.01),
            columns=(5, 20), wide_rows=2000, curve_datasets=(1, 10), files=(1, 5), curve_deltas=(1, 50), clients=(1, 4), big_tpch=0.01)


def parse(argv):
    p = argparse.ArgumentParser(prog="bench/run", description="tarn beside its peers: sets them up, makes the data, "
                                "measures, and writes PERFORMANCE.md with its charts and figures.")
    p.add_argument("--quick", action="store_true", help="two minutes on tiny data; answers are compared, figures mean little")
    p.add_argument("--only", action="append", default=[], metavar="SECTION",
                   help=f"measure this section alone (again to name several); those measured before are kept: {', '.join(SECTIONS)}")
    p.add_argument("--out", type=pathlib.Path, metavar="DIR", help="where the report goes (docs; with --quick the work folder)")
    p.add_argument("--work", type=pathlib.Path, default=REPOSITORY / "build" / "peers", metavar="DIR",
                   help="environments, data and lakes; its disk is the one that is measured (build/peers)")
    p.add_argument("--tarn", type=pathlib.Path, default=REPOSITORY / "bin" / "tarn", metavar="FILE", help="the binary (bin/tarn)")
    p.add_argument("--scale", type=float, default=1, help="of the staffing data; 1 is 1,000,000 timesheets")
    p.add_argument("--curve", default="0.1,1,10", metavar="SCALES",
                   help="scales that the curve of rows is measured at; 100 more is 100,000,000 rows, for a machine with much memory")
    p.add_argument("--rounds", type=int, default=31, help="of each query that count")
    p.add_argument("--report", action="store_true", help="measure nothing: write the report again from figures.json")
    a = p.parse_args(argv)
    only = [s for part in a.only for s in part.split(",")]
    for s in only:
        if s not in SECTIONS:
            p.error(f"no section {s}: {', '.join(SECTIONS)}")
    out = a.out or (a.work / "quick" if a.quick else REPOSITORY / "docs")
    o = Options(tarn=a.tarn.resolve(), work=a.work.resolve(), out=out.resolve(), only=only or SECTIONS, quick=a.quick,
                scale=a.scale, rounds=a.rounds, curve=tuple(float(s) for s in a.curve.split(",")))
    return (o.shortened() if a.quick else o), a.report
