"""Which chart a section has."""
import chart
import tables

RACES = ["staffing", "changed", "upserts", "tpch", "flights", "imports"]
LINES = {"tarn, hot": "#d9480f", "DuckDB 2.0, in memory": "#4c6ef5", "DuckDB 2.0, compressed": "#15aabf"}


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
            for query in tables.unique(line["query"] for line in s["lines"]):
                keep(name, f"curve-{query}.svg", of_curve(query, [line for line in s["lines"] if line["query"] == query]))
    return drawn


def colour(mine, place=""):
    return "mine" if mine else "memory" if place == "memory" else "files"


def of_races(lines):
    return [(query, "ms", [(line["system"], line["median_ms"], line["p10_ms"], line["p90_ms"], colour(line["mine"], line["place"]))
                           for line in lines if line["query"] == query]) for query in tables.unique(line["query"] for line in lines)]


def of_facts(facts, what):
    return [(f["system"], max(f["value"], 0), None, None, colour(f["system"].startswith("tarn"), "memory")) for f in facts if f["what"] == what]


def of_curve(query, lines):
    """A perfect system reads each row once and finds a key at once: from tarn's first point
    on, time in proportion to the rows, and none more for a point."""
    by = {name: (colour, [(line["at"], line["median_ms"]) for line in lines if line["system"] == name]) for name, colour in LINES.items()}
    first_at, first = by["tarn, hot"][1][0]
    ideal = [(at, first if query == "point" else first * at / first_at) for at, _ in by["tarn, hot"][1]]
    return chart.curve(f"hot {query}", "median ms", by, ideal)
