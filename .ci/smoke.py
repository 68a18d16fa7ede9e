"""Drives the release binary as its users do, on real exports and prices where they are at hand.

usage: smoke.py BINARY DATA

DATA holds brokers/schwab.csv and prices/{AAPL,IBM,KO,MSFT}.csv. Without it the parts that need it are left out, and
said to be: the project's own tests do not depend on it.
"""

import csv
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from decimal import Decimal

BINARY = str(pathlib.Path(sys.argv[1]).resolve())
DATA = pathlib.Path(sys.argv[2]).resolve()
PASSED = []

# What the rows of the Schwab sample become, by event.
SCHWAB_EVENTS = {
    "CashInLieuPaid": 1,
    "CashTransferred": 3,
    "DividendPosted": 43,
    "FeePosted": 11,
    "HoldingDistributed": 2,
    "InterestPosted": 5,
    "PositionExchanged": 8,
    "SecuritiesTransferred": 1,
    "SplitApplied": 1,
    "TaxPosted": 1,
    "TradeExecuted": 43,
}
SCHWAB_QUARANTINED = 0


def run(directory, *arguments, code=0, **more):
    environment = dict(os.environ, DAYBOOK_DATA=str(directory), **more.pop("environment", {}))
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, env=environment, timeout=120, **more)
    if code is not None and done.returncode != code:
        raise SystemExit(
            f"daybook {' '.join(map(str, arguments))} ended with {done.returncode}, not {code}\n{done.stdout}\n{done.stderr}"
        )
    return done


def check(what, holds, detail=""):
    if not holds:
        raise SystemExit(f"smoke: {what}: {str(detail)[:2000]}")
    PASSED.append(what)
    print(f"ok: {what}")


class Service:
    """A running service, stopped the way an operator stops it."""

    def __init__(self, directory, *arguments, token=None):
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            [BINARY, "serve", "--data", str(directory), "--listen", "127.0.0.1:0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.token = token
        for line in self.process.stderr:
            if "administrator's token" in line:
                self.token = self.process.stdout.readline().strip()
            found = re.search(r"listens on (http://\S+)", line)
            if found:
                self.url = found[1]
                break
        else:
            raise SystemExit(f"the service did not start: {self.process.wait()}")

    def get(self, path):
        request = urllib.request.Request(self.url + path, headers={"Authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def post(self, path, body):
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def pages(self, path):
        items, cursor = [], None
        while True:
            more = f"&cursor={cursor}" if cursor else ""
            page = self.get(f"{path}{'&' if '?' in path else '?'}limit=1000{more}")
            items += page["items"]
            cursor = page["next"]
            if cursor is None:
                return items

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        check("the service stops cleanly when told to", code == 0, f"exit {code}")


def statement(directory, *arguments):
    return json.loads(run(directory, "replay", "--format", "json", *arguments).stdout)


def figures(told):
    """What a statement says, without when it was said and under which sequences."""
    if isinstance(told, dict):
        return {key: figures(value) for key, value in told.items() if key not in ("sequence", "as_of")}
    return [figures(item) for item in told] if isinstance(told, list) else told


def agree(directory, what):
    """The ledger is sound, and its snapshots, the order of arrival and a sorted fold agree."""
    told = run(directory, "replay", "--check").stdout.strip().splitlines()[1:]
    check(f"snapshot, order of arrival and sorted fold agree on {what}", told and all(line.count("agrees") == 2 for line in told), told)
    run(directory, "verify")
    check(f"{what} verifies", True)


def schwab(base):
    source = DATA / "brokers" / "schwab.csv"
    directory = base / "schwab"
    portfolio = run(directory, "portfolio", "open", "Sample").stdout.strip()
    dry = run(directory, "import", "schwab", str(source), "--portfolio", portfolio, "--dry-run")
    check("a dry run records nothing", "import " not in dry.stdout and not run(directory, "import", "list", "--format", "json").stdout.count('"id"'))
    first = run(directory, "import", "schwab", str(source), "--portfolio", portfolio)
    imported = re.fullmatch(r"import (\S+)", first.stdout.strip().splitlines()[-1])
    check("an import ends by printing its id", imported is not None, first.stdout)
    events = [json.loads(line) for line in run(directory, "export", "jsonl").stdout.splitlines()]
    count = {}
    for event in events:
        if event["import"] and event["type"] != "FileImported":
            count[event["type"]] = count.get(event["type"], 0) + 1
    quarantined = count.pop("RecordQuarantined", 0)
    check("of 119 rows at least 114 become events", sum(count.values()) >= 114, count)
    check("no row is lost", sum(count.values()) + quarantined == 119, (count, quarantined))
    check("the sample's rows become events of the right types", count == SCHWAB_EVENTS, count)
    check("the sample's quarantined rows are as many as expected", quarantined == SCHWAB_QUARANTINED, quarantined)
    before = figures(statement(directory, "--portfolio", portfolio))
    head = events[-1]["sequence"]
    run(directory, "import", "schwab", str(source), "--portfolio", portfolio)
    after = [json.loads(line) for line in run(directory, "export", "jsonl").stdout.splitlines()]
    check("a second import adds nothing", after[-1]["sequence"] == head, after[-1])
    run(directory, "import", "revert", imported[1])
    reverted = figures(statement(directory, "--portfolio", portfolio))
    check("a reverted import leaves nothing", reverted["positions"] == [] and reverted["cash"] == {"USD": "0"}, reverted)
    run(directory, "import", "schwab", str(source), "--portfolio", portfolio)
    again = figures(statement(directory, "--portfolio", portfolio))
    check("reverting and importing again ends in the same state", before == again, (before, again))
    agree(directory, "the sample")


TRADES = """time,type,symbol,quantity,price,amount,fee,note
2012-01-03,deposit,,,,200000,,
2012-01-04,buy,AAPL,100,413.44,,1.00,
2012-01-04,buy,IBM,100,185.54,,1.00,
2012-01-04,buy,KO,300,69.70,,1.00,
2012-01-04,buy,MSFT,500,27.40,,1.00,
2012-08-13,split,KO,2,,,,
2013-03-15,sell,IBM,40,214.92,,1.00,
2013-05-01,deposit,,,,10000,,
2013-11-21,dividend,MSFT,,,140,,
2014-06-09,split,AAPL,7,,,,
2014-09-02,sell,AAPL,200,103.30,,1.00,
"""


def prices(base):
    directory = base / "prices"
    symbols = ["AAPL", "IBM", "KO", "MSFT"]
    portfolio = run(directory, "portfolio", "open", "Four shares").stdout.strip()
    for symbol in symbols:
        run(directory, "import", "prices", str(DATA / "prices" / f"{symbol}.csv"), "--symbol", symbol, "--adjusted", "splits")
    trades = base / "trades.csv"
    trades.write_text(TRADES)
    run(directory, "import", "csv", str(trades), "--portfolio", portfolio)
    service = Service(directory)
    try:
        for symbol, traded in (("AAPL", "411.23"), ("KO", "70.14")):
            bars = service.pages(f"/v1/prices/{symbol}?from=2012-01-03&to=2012-01-03")
            close = Decimal(bars[0]["close"])
            check(f"{symbol} is {traded} as traded on 2012-01-03", abs(close - Decimal(traded)) < Decimal("0.01"), close)
        days = service.pages(f"/v1/portfolios/{portfolio}/equity?interval=day&to=2014-12-31")
        check("the equity curve has every weekday", len(days) > 770, len(days))
        returns = [abs(Decimal(day["return"])) for day in days if day.get("return") is not None]
        check("the equity curve has no jump at the splits", max(returns) < Decimal("0.09"), max(returns))
        for day in days:
            if day["date"] in ("2012-08-13", "2014-06-09"):
                check(f"no jump on {day['date']}", abs(Decimal(day["return"])) < Decimal("0.03"), day)
        summary = service.get(f"/v1/portfolios/{portfolio}?as_of=2014-12-31")
        identity = sum(Decimal(summary[name]) for name in ("realised", "unrealised", "income", "fx", "unaccounted_cash"))
        identity -= Decimal(summary["costs"]) + Decimal(summary["transferred_gain"])
        check("the identity holds to the last decimal", identity == Decimal(summary["equity"]) - Decimal(summary["net_contributions"]), summary)
        told = summary
    finally:
        service.stop()
    replayed = statement(directory, "--portfolio", portfolio, "--as-of", "2014-12-31")
    both = (replayed.keys() & told.keys()) - {"sequence"}
    differ = {key: (replayed[key], told[key]) for key in both if replayed[key] != told[key]}
    check("the replay says what the service says", len(both) > 20 and not differ, differ)
    raw = base / "raw"
    run(raw, "portfolio", "open", "Raw")
    warned = run(raw, "import", "prices", str(DATA / "prices" / "AAPL.csv"), "--symbol", "AAPL").stderr
    check("prices adjusted already and imported as raw warn", "warning" in warned and "--adjusted splits" in warned, warned)
    knowledge(base, directory, portfolio)
    agree(directory, "real prices")


def knowledge(base, directory, portfolio):
    """The past, before and after a backdated trade and a reversal."""
    head = lambda: json.loads(run(directory, "export", "jsonl").stdout.splitlines()[-1])
    before = head()
    first = statement(directory, "--portfolio", portfolio, "--as-of", "2013-12-31")
    late = base / "late.csv"
    late.write_text("time,type,symbol,quantity,price,id\n2013-06-03,buy,IBM,10,208.95,late-1\n")
    run(directory, "import", "csv", str(late), "--portfolio", portfolio)
    second = statement(directory, "--portfolio", portfolio, "--as-of", "2013-12-31")
    quantity = lambda told: next(Decimal(line["quantity"]) for line in told["positions"] if line["symbol"] == "IBM")
    check("a backdated trade changes the past as it is known now", quantity(second) == quantity(first) + 10)
    known = statement(directory, "--portfolio", portfolio, "--as-of", "2013-12-31", "--at-sequence", str(before["sequence"]))
    check("what was known before it is unchanged", figures(known) == figures(first), (known, first))
    at = statement(directory, "--portfolio", portfolio, "--as-of", "2013-12-31", "--known-at", before["recorded_at"])
    check("and is found by its time as well", figures(at) == figures(first), (at, first))
    earlier = statement(directory, "--portfolio", portfolio, "--as-of", "2013-05-31")
    check("before it happened nothing changed", quantity(earlier) == quantity(first), earlier)
    recorded = [json.loads(line) for line in run(directory, "export", "jsonl", "--portfolio", portfolio).stdout.splitlines()]
    trade = next(event for event in recorded if event["key"] and "late-1" in event["key"])
    token = run(directory, "token", "issue", "--role", "administrator").stdout.strip()
    service = Service(directory, token=token)
    try:
        service.post(f"/v1/events/{trade['sequence']}/reverse", {"reason": "typed into the wrong portfolio"})
        now = service.get(f"/v1/portfolios/{portfolio}?as_of=2013-12-31")
        check("a reversal leaves the state as if it had never happened", now["equity"] == first["equity"], (now, first))
        then = service.get(f"/v1/portfolios/{portfolio}?as_of=2013-12-31&at_sequence={trade['sequence'] + 1}")
        check("and what was known before the reversal stays known", then["equity"] == second["equity"], (then, second))
    finally:
        service.stop()
    reversed_ = statement(directory, "--portfolio", portfolio, "--as-of", "2013-12-31")
    check("the replay agrees on the reversal", figures(reversed_) == figures(first), (reversed_, first))


def demo(base):
    directory = base / "demo"
    began = time.monotonic()
    service = Service(directory, "--demo")
    check("the demo is there in under five seconds", time.monotonic() - began < 5, time.monotonic() - began)
    try:
        portfolios = service.pages("/v1/portfolios")
        check("the demo has about 25 portfolios", 20 <= len(portfolios) <= 30, len(portfolios))
        token = service.token
        environment = {"DAYBOOK_TOKEN": token}
        held = run(directory, "replay", "--check", code=2)
        check("a held directory is said in one line that names --server", len(held.stderr.strip().splitlines()) == 1 and "--server" in held.stderr, held.stderr)
        for command in (("verify",), ("replay", "--check")):
            run(directory, *command, "--server", service.url, environment=environment)
        check("verification and replay go through the service", True)
    finally:
        service.stop()
    began = time.monotonic()
    service = Service(directory, "--demo", token=token)
    try:
        service.get("/v1/portfolios")
        check("an existing demo answers within a second of starting", time.monotonic() - began < 1, time.monotonic() - began)
        live = {item["id"]: item for item in service.pages("/v1/portfolios")}
    finally:
        service.stop()
    agree(directory, "the demo")
    return live


def main():
    with tempfile.TemporaryDirectory(prefix="daybook-smoke-") as base:
        base = pathlib.Path(base)
        if "--without-demo" not in sys.argv:
            demo(base)
        if (DATA / "brokers" / "schwab.csv").exists():
            schwab(base)
            prices(base)
        else:
            print(f"left out: no real data in {DATA}")
    print(f"{len(PASSED)} passed, 0 failed")


main()
