"""The figures: every section that was measured, and what the run had. The report is made
of them alone."""
import datetime
import json
import os
import platform


def load(folder):
    """Those that are there; empty where there are none."""
    file = folder / "figures.json"
    return json.loads(file.read_text()) if file.exists() else {"sections": {}}


def save(folder, figures):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.json").write_text(json.dumps(rounded(figures), indent=1, sort_keys=True) + "\n")


def rounded(value):
    """Six digits are more than a clock has."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list) else value


def machine():
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"cpu": model, "cores": os.cpu_count(), "memory_bytes": memory, "system": platform.system()}


def header(options):
    return {"quick": options.quick, "scale": options.scale, "tpch": options.tpch, "rounds": options.rounds,
            "slow_rounds": options.slow_rounds, "machine": machine()}


def now():
    return datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0).isoformat()


class Found:
    """Look figures up; what was not measured is None."""

    def __init__(self, figures):
        self.sections = figures["sections"]

    def line(self, section, query, system, at=None):
        for line in self.sections.get(section, {}).get("lines", []):
            if line["query"] == query and line["system"] == system and line.get("at") == at:
                return line
        return None

    def value(self, section, query, system, what):
        line = self.line(section, query, system)
        return line.get(what) if line else None

    def fact(self, section, start, system=None):
        for fact in self.sections.get(section, {}).get("facts", []):
            if fact["what"].startswith(start) and (system is None or fact["system"] == system):
                return fact["value"]
        return None
