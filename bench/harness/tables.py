"""Markdown tables of lines and facts."""


def table(head, rows, left=1):
    """The first columns stand to the left, the others to the right."""
    marks = ["---"] * left + ["---:"] * (len(head) - left)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, marks, *rows]) + "\n"


def number(value):
    """Three digits that count."""
    if value is None:
        return ""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.1 or value == 0 else f"{value:.2g}"


def name(line):
    return f"**{line['system']}**" if line["mine"] else line["system"]


def of_queries(lines):
    """Systems by questions: medians, the best peer of each place marked."""
    queries, systems = unique(line["query"] for line in lines), unique(line["system"] for line in lines)
    by = {(line["query"], line["system"]): line for line in lines}
    rows = []
    for system in systems:
        cells = [by.get((q, system)) for q in queries]
        first = next(c for c in cells if c)
        rows.append([name(first)] + [number(c["median_ms"]) if c else "" for c in cells])
    return table(["median ms", *queries], rows)


def of_race(lines, base="of_best", head="of the best peer", clean_head="of its clean answer"):
    """One question: spread and ratio."""
    clean = any("of_clean" in line for line in lines)
    rows = [[name(line), str(line["runs"]), *(number(line[k]) for k in ("median_ms", "p10_ms", "p90_ms")), number(line.get(base))]
            + ([number(line.get("of_clean"))] if clean else []) for line in lines]
    return table(["system", "runs", "median ms", "p10", "p90", head] + ([clean_head] if clean else []), rows)


def of_facts(facts):
    return table(["what", "system", "", ""], [[f["what"], f["system"], number(f["value"]), f["unit"]] for f in facts], left=2)


def curves(points):
    """Those of each curve together."""
    return [[p for p in points if (p["curve"], p["query"]) == of] for of in unique((p["curve"], p["query"]) for p in points)]


def unique(values):
    return list(dict.fromkeys(values))
