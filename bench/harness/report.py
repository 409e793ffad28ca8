"""The report: PERFORMANCE.md and its charts, made of the figures alone."""
import charts
import goals
import limits
import tables
from figures import Found
from options import SECTIONS
from prose import AFTER, HEAD, LEFT_OUT, TITLES


def write(out, figures):
    """Write it; gives the path of the report."""
    drawn = charts.draw(figures, out / "performance")
    parts = [head(figures), "## Goals\n\n" + of_goals(figures)]
    for name in SECTIONS:
        if name in figures["sections"]:
            parts.append(section(name, figures["sections"][name], drawn.get(name, [])))
    parts.append(left_out(figures))
    path = out / "PERFORMANCE.md"
    path.write_text("\n".join(parts))
    return path


def tarns(sections):
    """The versions of tarn that were measured, with their sections where there are several."""
    by = {}
    for name, section in sections.items():
        by.setdefault(section["tarn"], []).append(name)
    (most, _), *others = sorted(by.items(), key=lambda item: -len(item[1]))
    return most + "".join(f"; {version} ({', '.join(names)})" for version, names in others)


def head(figures):
    m, sections = figures["machine"], figures["sections"].values()
    began = sorted(s["began"][:10] for s in sections)
    days = began[0] if began[0] == began[-1] else f"{began[0]} to {began[-1]}"
    text = HEAD.format(days=days, cpu=m["cpu"], cores=m["cores"], memory=f"{m['memory_bytes'] / 2**30:.0f} GiB", system=m["system"],
                       scale=f"{figures['scale']:g}", tpch=f"{figures['tpch']:g}", rounds=figures["rounds"], slow_rounds=figures["slow_rounds"],
                       tarn=tarns(figures["sections"]),
                       versions=", ".join(sorted(v for k, v in figures["versions"].items() if k != "tarn")))
    if figures["quick"]:
        text += "\n**Made with `--quick`: the data are tiny, and the figures mean little.**\n"
    # The benchmark itself is what runs before every section but the first.
    first = next(iter(figures["sections"].values()))
    if first["load_before"] > 0.5:
        text += f"\nOther work ran on this machine before: load {first['load_before']:.1f}. Figures of a quiet one are better.\n"
    return text


def of_goals(figures):
    telling = not figures["quick"] and figures["scale"] == 1 and figures["machine"]["cores"] == 2
    rows = []
    for g in goals.goals(Found(figures)):
        aim = "" if g.aim is None else f"{'at least' if g.least else 'at most'} {tables.number(g.aim)} {g.unit}"
        why = g.why or ("" if telling or g.judged is None else "the goals are for scale 1 on 2 cores")
        verdict = g.verdict(telling)
        if verdict == goals.MISSED:
            why = limits.of(g)
        verdict += f": {why}" if why else ""
        rows.append([g.what, g.goal, aim, tables.number(g.inside), tables.number(g.http), verdict])
    return tables.table(["what", "", "aim", "inside", "HTTP", ""], rows, left=3).replace("---: |\n", "--- |\n", 1)


def section(name, s, drawn):
    title, intro = TITLES[name]
    parts = [f"## {title}\n", intro + "\n"]
    lines = s["lines"]
    if name != "curves":
        parts += [f"![{title}](performance/{file})\n" for file in drawn]
    if name == "curves":
        parts += of_curves(lines)
    elif name == "scale":
        parts += of_scale(lines)
    elif name == "steadiness":
        parts += of_steady(lines)
    elif lines:
        if len(tables.unique(line["query"] for line in lines)) > 2:
            parts.append(tables.of_queries(lines))
        base = ("of_base", "of DuckDB 1.5 beside it") if name == "inside" else ("of_best", "of the best peer")
        clean = "of the full rewrite" if name == "compaction" else "of its clean answer"
        for query in tables.unique(line["query"] for line in lines):
            parts.append(f"**{query}**\n\n" + tables.of_race([line for line in lines if line["query"] == query], *base, clean))
    if s["facts"]:
        parts.append(tables.of_facts(s["facts"]))
    if name in AFTER:
        parts.append(AFTER[name] + "\n")
    return "\n".join(parts)


def of_curves(lines):
    for points in tables.curves(lines):
        first = points[0]
        at = tables.unique(p["at"] for p in points)
        by = {(p["system"], p["at"]): p for p in points}
        rows = [[tables.name(by[s, at[0]]), *(tables.number(by[s, n]["value"]) for n in at)] for s in tables.unique(p["system"] for p in points)]
        title = f"{first['query']}, {first['unit']}, by {first['curve']}"
        yield (f"**{title}**\n\n" + tables.table(["system", *(f"{n:,}" for n in at)], rows)
               + f"\n![{title}](performance/{charts.of_name(first)})\n")


def of_scale(lines):
    """Steps by systems: what each took, and what it held meanwhile."""
    systems, by = tables.unique(line["system"] for line in lines), {(line["query"], line["system"]): line for line in lines}
    mine = next(line["system"] for line in lines if line["mine"])
    for what, key, scale in [("seconds", "median_ms", 1000), ("GB, the most that was held", "peak_mb", 1000)]:
        rows = []
        for step in tables.unique(line["query"] for line in lines):
            cells = [by.get((step, system)) for system in systems]
            of = [tables.number(by.get((step, mine), {}).get("of_best"))] if key == "median_ms" else []
            rows.append([step, *(tables.number(c[key] / scale) if c else "" for c in cells), *of])
        yield f"**{what}**\n\n" + tables.table(["step", *systems, *([f"{mine} of the best peer"] if key == "median_ms" else [])], rows)


def of_steady(lines):
    for system in tables.unique(line["system"] for line in lines):
        rows = [[line["query"], str(line["runs"]), *(tables.number(line[k]) for k in ("quiet_p50", "quiet_p99", "busy_p50", "busy_p99", "of_quiet"))]
                for line in lines if line["system"] == system]
        yield f"**{system}**, ms\n\n" + tables.table(["question", "runs", "quiet p50", "p99", "busy p50", "p99", "p99 of quiet p99"], rows)


def left_out(figures):
    said = [why for s in figures["sections"].values() for why in s["left_out"]]
    missing = [name for name in SECTIONS if name not in figures["sections"]]
    if missing:
        said.append(f"These sections were not measured: {', '.join(missing)}.")
    return "## Left out\n\n" + "\n".join(f"- {why}" for why in LEFT_OUT + said) + "\n"
