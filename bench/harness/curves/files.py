"""Files: the same rows, without a key, imported in more and more parts that nothing
compacts; a question from files."""
from curves import FLAT, of_line
from entrants import asking
from queries import STAFFING
from race import Entrant, race


def measure(lab):
    file, rows = lab.data.staffing()["timesheets"], lab.data.timesheets()
    server = lab.server("--cache-size", "0", "--no-compact-auto")
    client = lab.peer("tarn", server)
    sizes = {}
    for parts in lab.o.files:
        lab.say(f"curve: {parts:,} files")
        dataset = f"in_{parts}"
        for n in range(parts):
            one = part(lab, file, rows, parts, n)
            server.call("POST", f"/datasets/{dataset}/import?mode={'append' if n else 'create'}", one.read_bytes(),
                        Content_Type="application/vnd.apache.parquet")
        sizes[dataset] = server.call("GET", f"/datasets/{dataset}")["files"]
    lines = race("cold group", [
        Entrant(dataset, asking(client, STAFFING["group"].replace("{timesheets}", dataset), "tarn", lambda n: 1, served="parquet"),
                "files", mine=True) for dataset in sizes], lab.o.slow_rounds, lab.o.warmups)
    return [of_line(line, "files", FLAT, sizes[line["system"]], system="tarn, cold") for line in lines]


def part(lab, file, rows, parts, n):
    folder = file.parent / f"parts-{parts}"
    folder.mkdir(exist_ok=True)
    first, end = rows * n // parts + 1, rows * (n + 1) // parts
    return lab.data.write(f"SELECT * FROM read_parquet('{file}') WHERE timesheet_id BETWEEN {first} AND {end}", folder / f"{n}.parquet")
