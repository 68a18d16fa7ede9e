"""Gives generated requests the ids of what is there, and keeps them from contradicting themselves.

Loaded by schemathesis (schemathesis.toml). It asks the service as the administrator which objects there are, whoever
the requests are made as: so a client meets its own portfolios and those of others.
"""

import datetime
import itertools
import json
import os
import urllib.error
import urllib.request

import schemathesis
from hypothesis import strategies as st
from schemathesis.core.parameters import ParameterLocation

URL = os.environ["DAYBOOK_URL"]
TOKEN = os.environ["DAYBOOK_TOKEN"]
# Tokens that may be revoked: never the one that the requests are made with.
SPARE_TOKENS = os.environ.get("DAYBOOK_SPARE_TOKENS", "").split()
ABSENT = "00000000000000000000000001"


def ask(path):
    request = urllib.request.Request(URL + path, headers={"Authorization": f"Bearer {TOKEN}"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.HTTPError:
        return {}


def items(path, member="id"):
    return [item[member] for item in ask(path).get("items", []) if item.get(member) is not None]


def found():
    """What a path parameter may stand for, by the words of the path before it."""
    portfolios = items("/v1/portfolios?limit=1000")
    trades = {id: items(f"/v1/portfolios/{id}/trades?limit=5") for id in portfolios}
    head = ask("/v1/events?limit=1").get("sequence", 1)
    parties = items("/v1/parties?limit=1000")
    advisors = items("/v1/advisors?limit=1000")
    return trades, head, {
        "portfolios": portfolios,
        "parties": parties,
        "clients": items("/v1/clients?limit=1000", "party") or parties,
        "advisors": advisors,
        "teams": items("/v1/teams?limit=1000"),
        "households": items("/v1/households?limit=1000"),
        "models": items("/v1/models?limit=1000"),
        "recommendations": items("/v1/recommendations?limit=1000"),
        "imports": items("/v1/imports"),
        "instruments": items("/v1/instruments?limit=50", "symbol"),
        "prices": items("/v1/instruments?limit=50", "symbol"),
        "quarantine": items("/v1/quarantine?state=all", "sequence"),
        "sync": items("/v1/sync", "name"),
        "tokens": SPARE_TOKENS,
        "events": list(range(1, head + 1, max(1, head // 200))),
        "advisor": advisors,
        "client": parties,
        "entries": ["000"],
    }


TRADES, HEAD, FOUND = found()
TURNS = {}


def turn(name, values):
    """The values one after the other, and after every third one something that is not there."""
    if name not in TURNS:
        kinds = itertools.cycle([True, True, True, False])
        TURNS[name] = (itertools.cycle(values), kinds)
    values, kinds = TURNS[name]
    return next(values) if next(kinds) else None


def give_ids(case):
    before = None
    for segment in case.operation.path.strip("/").split("/"):
        if segment.startswith("{"):
            name = segment.strip("{}")
            known = FOUND.get(before, [])
            if before == "trades":
                known = TRADES.get(case.path_parameters.get("id"), [])
            value = turn(f"{case.operation.label} {name}", known) if known else None
            if value is not None and name in case.path_parameters:
                case.path_parameters[name] = value
        before = segment


def agree(query):
    """A list's cursor is opaque and comes from its page before; what was known is said in one way, and not for later."""
    query.pop("cursor", None)
    if "at_sequence" in query:
        query.pop("known_at", None)
        query["at_sequence"] = int(query["at_sequence"]) % HEAD + 1
    if "ids" in query and FOUND["portfolios"]:
        query["ids"] = ",".join(FOUND["portfolios"][: 1 + len(query["ids"]) % 5])
    if "from" in query and "to" in query and str(query["from"]) > str(query["to"]):
        query["from"], query["to"] = query["to"], query["from"]


@schemathesis.hook
def before_call(context, case, kwargs):
    meta = case.meta
    if meta is None:
        return
    if case.path_parameters and not meta.is_negative_at(ParameterLocation.PATH):
        give_ids(case)
    if case.query and not meta.is_negative_at(ParameterLocation.QUERY):
        agree(case.query)
    # An optional header is covered by an empty one, whatever its pattern says. As a precondition that is refused, and
    # must be: a guard that got lost may not let a write through.
    about = getattr(meta.phase.data, "parameter", None)
    if case.headers and case.headers.get("If-Match") == "" and about not in ("If-Match", "Authorization"):
        del case.headers["If-Match"]



def days():
    """The days that a ledger can hold; the formats of the document know no bounds."""
    return st.dates(datetime.date(1900, 1, 1), datetime.date(2200, 12, 30))


schemathesis.openapi.format("date", days().map(str))
schemathesis.openapi.format(
    "date-time",
    st.builds("{}T{:02}:{:02}:{:02}Z".format, days(), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59)),
)
