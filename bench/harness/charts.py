"""Which chart a section has."""
import chart
import tables
from curves import GROWTH

RACES = ["staffing", "changed", "upserts", "tpch", "flights", "imports", "scale"]
LINES = {"tarn, hot": "#d9480f", "tarn, cold": "#f59f00", "DuckDB 2.0, in memory": "#4c6ef5", "DuckDB 2.0, compressed": "#15aabf"}


def draw(figures, folder):
    """Draw them all; gives section -> names of files."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    drawn = {}

    def keep(section, name, text):
        (folder / name).write_text(text)
        drawn.setdefault(section, []).append(name)
    for name, s in figures["sections"].items():
        if name in RACES and s["lines"]:
            keep(name, f"{name}.svg", chart.bars(of_races(s["lines"])))
        elif name == "memory":
            keep(name, "memory.svg", chart.bars([("held for timesheets and candidates", "MB", of_facts(s["facts"], "held (RSS)"))], 1))
        elif name == "curves":
            for of in tables.curves(s["lines"]):
                keep(name, of_name(of[0]), of_curve(of, figures["machine"]["cores"]))
    return drawn


def colour(mine, place=""):
    return "mine" if mine else "memory" if place == "memory" else "files"


def of_races(lines):
    return [(query, "ms", [(line["system"], line["median_ms"], line["p10_ms"], line["p90_ms"], colour(line["mine"], line["place"]))
                           for line in lines if line["query"] == query]) for query in tables.unique(line["query"] for line in lines)]


def of_facts(facts, what):
    return [(f["system"], max(f["value"], 0), None, None, colour(f["system"].startswith("tarn"), "memory")) for f in facts if f["what"] == what]


def of_name(point):
    return f"curve {point['curve']} {point['query']}.svg".replace(",", "").replace(" ", "-")


def of_curve(points, cores):
    """Dashed, for each line of tarn's: from its first point on as a perfect system would grow."""
    first = points[0]
    lines = {system: (LINES[system], [(p["at"], p["value"]) for p in points if p["system"] == system])
             for system in LINES if any(p["system"] == system for p in points)}
    ideals = [[(at, line[0][1] * GROWTH[first["ideal"]](at, line[0][0], cores)) for at, _ in line]
              for system, (_, line) in lines.items() if system.startswith("tarn")]
    return chart.curve(first["query"], first["unit"], first["curve"], lines, ideals)
