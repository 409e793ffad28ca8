"""tarn inside its process: from the engine's call to the last batch, by `tarn bench`,
with DuckDB 1.5.6 beside it in the same run."""
import json
import subprocess

NAMES = {
    ("tarn", "hot"): "tarn, hot", ("tarn", "cold"): "tarn, cold",
    ("tarn, by key", "hot"): "tarn, hot, by key", ("tarn, by key", "cold"): "tarn, cold, by key",
    ("tarn, asked again", "hot"): "tarn, asked again",
    ("DuckDB read_parquet", "cold"): "DuckDB 1.5, tarn's files",
    ("DuckDB in memory", "hot"): "DuckDB 1.5, in memory",
    ("DuckDB in memory, compressed", "hot"): "DuckDB 1.5, compressed",
}


def measure(lab):
    lab.say("tarn bench (inside the process)")
    out = lab.folder("inside")
    command = [lab.o.tarn, "bench", "--scale", f"{lab.o.scale:g}", "--dir", out, "--out", out / "bench.json"]
    subprocess.run(command + (["--quick"] if lab.o.quick else ["--rounds", str(max(21, lab.o.rounds))]),
                   check=True, stdout=lab.log, stderr=lab.log)
    report = json.loads((out / "bench.json").read_text())
    return {"lines": lines(report), "facts": facts(report)}


def lines(report):
    found = []
    for t in report["queries"]:
        name = NAMES.get((t["system"], t["state"]))
        if not name or t["data"] not in ("clean", "changed_10"):
            continue
        changed, mine = t["data"] != "clean", name.startswith("tarn")
        if changed and not mine:
            continue
        one = {"query": t["query"], "system": name + (", 10% changed" if changed else ""), "place": t["state"],
               "data": "changed" if changed else "clean", "mine": mine, "rows": None,
               "runs": t["runs"], "median_ms": t["median_ms"], "p10_ms": t["p10_ms"], "p90_ms": t["p90_ms"], "of_base": t["ratio"]}
        if t.get("of_clean"):
            one["of_clean"] = t["of_clean"]
        found.append(one)
    return found


def facts(report):
    found = []

    def fact(what, value, unit):
        found.append({"what": what, "system": "tarn, inside", "value": value, "unit": unit})
    for h in report["held"]:
        if h["data"] == "clean":
            found.append({"what": "held for 1.1M rows, by its own count", "system": "tarn" if h["system"] == "tarn" else "DuckDB 1.5.6, " + h["system"][7:],
                          "value": h["bytes"] / 1e6, "unit": "MB"})
    for w in report["writes"]:
        if w["state"] == "hot":
            fact("upsert, one writer, p50", w["one_writer"]["median_ms"], "ms")
            fact("disk: write, fsync, link, fsync folder, p50", w["disk"]["median_ms"], "ms")
            fact(f"upserts, {w['writers']} writers", w["many_writers"]["rows_per_s"], "rows/s")
            fact(f"upserts, {w['writers']} writers beside joins", w["many_writers_beside_joins"]["rows_per_s"], "rows/s")
    return found
