"""A Python session for a test: it runs the code in each line of its standard input (a
JSON text) and answers a line of JSON with what the code left in `out`, or with the error."""

import json
import sys
import traceback

from answers import *
from engines import *


def rows_of(table, **scan):
    """The rows of a PyIceberg table as JSON texts, sorted."""
    found = table.scan(**scan).to_arrow().to_pylist()
    return sorted(json.dumps(list(r.values()), default=str) for r in found)


session = dict(globals())
answers = sys.stdout
sys.stdout = sys.stderr
for line in sys.stdin:
    session["out"] = None
    try:
        exec(json.loads(line), session)
        answer = {"out": session["out"]}
    except BaseException as e:
        answer = {"error": "%s: %s" % (type(e).__name__, e), "trace": traceback.format_exc()}
    answers.write(json.dumps(answer, default=str) + "\n")
    answers.flush()
