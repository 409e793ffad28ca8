"""The command: measure the sections that are wanted, keep their figures, write the report."""
import importlib
import os
import sys
import time

import figures
import options
import report
from lab import Lab


def main(argv):
    o, only_report = options.parse(argv)
    folder = o.out / "performance"
    if not o.tarn.exists() and not only_report:
        print(f"there is no {o.tarn}: make build, or name it with --tarn", file=sys.stderr)
        return 2
    kept = figures.load(folder)
    if not only_report:
        kept = fitting(kept, o)
        measure(o, folder, kept)
    if not kept["sections"]:
        print(f"there are no figures in {folder}", file=sys.stderr)
        return 2
    print(report.write(o.out, kept))
    return 0


def fitting(kept, o):
    """What was measured before, where it was measured with the same options."""
    header = figures.header(o)
    same = all(kept.get(name) == value for name, value in header.items())
    sections = kept["sections"] if same and len(o.only) < len(options.SECTIONS) else {}
    return {**header, "versions": kept.get("versions", {}) if sections else {}, "sections": sections}


def measure(o, folder, kept):
    lab = Lab(o)
    for name in o.only:
        lab.say(f"== {name}")
        began, load = time.monotonic(), os.getloadavg()[0]
        lab.left_out = []
        with lab.section():
            found = importlib.import_module("sections." + name).measure(lab)
            found |= {"left_out": list(lab.left_out)}
        kept["sections"][name] = {**found, "began": figures.now(), "load_before": load, "seconds": time.monotonic() - began,
                                  "tarn": lab.versions["tarn"]}
        kept["versions"] |= lab.versions
        figures.save(folder, kept)  # so that what was measured is not lost with what fails
