"""Checks deliveries with the real libraries: one JSON object a line in, one word a line out."""

import json
import sys

import standardwebhooks
import svix


def accepts(library, delivery):
    try:
        library.Webhook(delivery["secret"]).verify(delivery["body"], delivery["headers"])
        return True
    except Exception as error:
        print(f"{library.__name__}: {error!r}", file=sys.stderr)
        return False


for line in sys.stdin:
    delivery = json.loads(line)
    said = {accepts(library, delivery) for library in (standardwebhooks, svix)}
    print("accepted" if said == {True} else "refused" if said == {False} else "disagree")
