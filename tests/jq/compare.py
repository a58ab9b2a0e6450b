"""Whether the rows of a table of jq programs have what jq makes of them: compare.py TABLE.

Each line is {"program", "input" (JSON text), "jq": the values, or "error"}. Numbers are compared as doubles.
"""

import json
import sys

import jq


def values(program, text):
    try:
        return list(jq.compile(program).input_text(text))
    except (ValueError, StopIteration):
        return "error"


wrong = 0
rows = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]
for row in rows:
    found = values(row["program"], row["input"])
    if json.dumps(found, sort_keys=True) != json.dumps(row["jq"], sort_keys=True):
        wrong += 1
        print(f"{row['program']}\t{row['input']}: {row['jq']} here, {found} of jq")
print(f"{len(rows)} rows, {wrong} wrong")
sys.exit(1 if wrong or len(rows) < 300 else 0)
