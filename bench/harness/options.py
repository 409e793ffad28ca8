"""What is measured, and how long."""
import argparse
import dataclasses
import pathlib

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

SECTIONS = ["inside", "staffing", "changed", "upserts", "memory", "tpch", "flights", "results", "imports", "deltas", "curves"]


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
    curve: tuple = (0.01, 0.1, 1, 10)

    def shortened(self):
        """Two minutes: answers are compared, the figures mean little."""
        return dataclasses.replace(
            self, scale=0.01, tpch=0.01, rounds=3, slow_rounds=2, warmups=1, storm_s=0.3, storm_rounds=2,
            deltas=60, datasets=20, curve=(0.005, 0.01))


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
    p.add_argument("--rounds", type=int, default=31, help="of each query that count")
    p.add_argument("--report", action="store_true", help="measure nothing: write the report again from figures.json")
    a = p.parse_args(argv)
    only = [s for part in a.only for s in part.split(",")]
    for s in only:
        if s not in SECTIONS:
            p.error(f"no section {s}: {', '.join(SECTIONS)}")
    out = a.out or (a.work / "quick" if a.quick else REPOSITORY / "docs")
    o = Options(tarn=a.tarn.resolve(), work=a.work.resolve(), out=out.resolve(), only=only or SECTIONS, quick=a.quick,
                scale=a.scale, rounds=a.rounds)
    return (o.shortened() if a.quick else o), a.report
