"""Charts as SVG: bars with spread, a panel a question, and curves on logarithmic axes."""
import html
import math

FONT = "font-family='system-ui, sans-serif' font-size='11'"
COLOURS = {"mine": "#d9480f", "files": "#868e96", "memory": "#4c6ef5"}
LEFT, WIDE, ROW, HEAD = 190, 470, 17, 34


def svg(width, height, parts):
    return (f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' viewBox='0 0 {width} {height}' {FONT}>\n"
            f"<rect width='{width}' height='{height}' fill='white'/>\n" + "\n".join(parts) + "\n</svg>\n")


def text(x, y, words, anchor="start", more=""):
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' fill='#212529' {more}>{html.escape(words)}</text>"


def bars(panels, columns=2):
    """panels: (title, unit, [(label, value, low, high, colour)])."""
    parts, tops, most = [], [10] * columns, 0
    for title, unit, rows in panels:
        column = tops.index(min(tops))
        parts += panel(column * (WIDE + 10), tops[column], title, unit, rows)
        tops[column] += HEAD + ROW * len(rows) + 12
        most = max(most, column)
    return svg((most + 1) * (WIDE + 10), max(tops), parts)


def panel(x, y, title, unit, rows):
    # By the medians: a spread that is longer runs out of the panel, with an arrow.
    longest = max((value for _, value, _, _, _ in rows), default=1) * 1.2 or 1
    room = WIDE - LEFT - 60
    found = [text(x + 8, y + 16, f"{title}, {unit}", more="font-weight='600' font-size='12'")]
    for i, (label, value, low, high, colour) in enumerate(rows):
        top = y + HEAD + i * ROW
        length = value / longest * room
        found.append(text(x + LEFT - 6, top + 10, label, "end"))
        found.append(f"<rect x='{x + LEFT}' y='{top}' width='{max(length, 0.5):.1f}' height='12' fill='{COLOURS[colour]}'/>")
        if low is not None:
            a, b = (x + LEFT + min(v / longest, 1) * room for v in (low, high))
            end = f"M{b:.1f} {top + 3}v6" if high <= longest else f"M{b - 4:.1f} {top + 3}l4 3l-4 3"
            found.append(f"<path d='M{a:.1f} {top + 6}H{b:.1f}M{a:.1f} {top + 3}v6{end}' stroke='#212529' fill='none'/>")
        found.append(text(x + LEFT + min(max(value, high or 0) / longest, 1) * room + 5, top + 10, short(value)))
    return found


def short(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def curve(title, unit, axis, lines, ideals):
    """lines: name -> (colour, [(at, value)]); ideals: the same lists, what a perfect system
    would show from the first point on; axis: what there is more of to the right."""
    points = [p for _, line in lines.values() for p in line] + [p for ideal in ideals for p in ideal]
    xs, ys = [math.log10(p[0]) for p in points], [math.log10(p[1]) for p in points]
    x0, x1, y0, y1 = min(xs), max(xs) + 1e-9, math.floor(min(ys)), math.ceil(max(ys) + 1e-9)
    x = lambda v: 60 + (math.log10(v) - x0) / (x1 - x0) * 330
    y = lambda v: 250 - (math.log10(v) - y0) / (y1 - y0) * 200
    found = [text(8, 20, f"{title}, {unit}", more="font-weight='600' font-size='12'"), text(225, 290, axis, "middle")]
    for e in range(y0, y1 + 1):
        found.append(f"<path d='M60 {y(10.0**e):.1f}H390' stroke='#dee2e6'/>" + text(54, y(10.0**e) + 4, f"{10.0**e:g}", "end"))
    for v in sorted({p[0] for p in points}):
        found.append(f"<path d='M{x(v):.1f} 50V250' stroke='#dee2e6'/>" + text(x(v), 266, f"{v:,}", "middle"))
    found += [path(ideal, x, y, "#212529", "stroke-dasharray='4 4'") for ideal in ideals]
    for i, (name, (colour, line)) in enumerate([("a perfect system", ("", [])), *lines.items()]):
        if colour:
            found.append(path(line, x, y, colour, "stroke-width='2'"))
            found += [f"<circle cx='{x(a):.1f}' cy='{y(b):.1f}' r='3' fill='{colour}'/>" for a, b in line]
        found.append(f"<rect x='405' y='{56 + i * 18}' width='10' height='3' fill='{colour or '#212529'}'/>" + text(420, 61 + i * 18, name))
    return svg(590, 300, found)


def path(points, x, y, colour, more):
    steps = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in points)
    return f"<polyline points='{steps}' stroke='{colour}' fill='none' {more}/>"
