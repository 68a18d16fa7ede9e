"""Holds the stand-in broker to Alpaca's own words: its answers to the OpenAPI documents, its behaviour to the official SDK.

usage: stand_in.py BINARY DATA

DATA holds trading-openapi.yaml and market-data-openapi.yaml, as Alpaca publishes them. Needs .ci/requirements.txt.
"""

import json
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone

import yaml
from jsonschema import Draft202012Validator

BINARY = str(pathlib.Path(sys.argv[1]).resolve())
DATA = pathlib.Path(sys.argv[2]).resolve()
KEY, SECRET = "PKSTANDIN", "stand-in-secret"
PASSED = []


def check(what, holds, detail=""):
    if not holds:
        raise SystemExit(f"stand-in: {what}: {str(detail)[:2000]}")
    PASSED.append(what)
    print(f"ok: {what}", flush=True)


class StandIn:
    """A running stand-in, stopped the way an operator stops it."""

    def __init__(self, *arguments):
        command = [BINARY, "--seed", "7", "--keys", f"{KEY}:{SECRET}", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.urls = dict(self.process.stdout.readline().strip().split("=", 1) for _ in range(4))
        self.base = self.urls["APCA_API_BASE_URL"]

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=30)
        if failure[0] is None:
            check("the stand-in stops cleanly when told to", code == 0, code)

    def ask(self, method, path, body=None, **query):
        target = self.base + path + ("?" + urllib.parse.urlencode(query) if query else "")
        headers = {"APCA-API-KEY-ID": KEY, "APCA-API-SECRET-KEY": SECRET}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(target, data, headers, method=method)
        try:
            answer = urllib.request.urlopen(request, timeout=30)
        except urllib.error.HTTPError as refused:
            answer = refused
        with answer:
            text = answer.read()
            return answer.status, dict(answer.headers), json.loads(text) if text else None

    def get(self, path, **query):
        status, _, body = self.ask("GET", path, **query)
        check_quietly(status == 200, f"GET {path} {query}: {status} {body}")
        return body


def check_quietly(holds, detail):
    if not holds:
        raise SystemExit(f"stand-in: {detail[:2000]}")


class Document:
    """One of the OpenAPI documents, as far as it says what an answer looks like."""

    def __init__(self, name):
        self.document = modern(yaml.safe_load((DATA / name).read_text()))
        self.operations = {}
        for template, item in self.document["paths"].items():
            pattern = re.compile("^" + re.sub(r"\{[^}]+\}", "[^/]+", template) + "$")
            for method in ("get", "post", "delete", "patch", "put"):
                if method in item:
                    self.operations[method.upper(), template] = (pattern, item[method])
        self.seen = set()

    def find(self, method, path):
        # A literal path is meant before one with a place in it: /v2/stocks/bars, /v2/stocks/{symbol}.
        for (verb, template), (pattern, operation) in sorted(self.operations.items(), key=lambda entry: "{" in entry[0][1]):
            if verb == method and pattern.match(path):
                return template, operation
        raise SystemExit(f"stand-in: {method} {path} is in neither document")

    def validate(self, method, path, status, headers, body):
        template, operation = self.find(method, path)
        self.seen.add((method, template, status))
        told = operation["responses"].get(str(status))
        check_quietly(told is not None, f"{method} {template} may not answer {status}: {body}")
        content = (told.get("content") or {}).get("application/json")
        if content is None:
            return
        schema = {"components": self.document["components"], "allOf": [content["schema"]]}
        checker = Draft202012Validator.FORMAT_CHECKER
        faults = sorted(Draft202012Validator(schema, format_checker=checker).iter_errors(body), key=str)
        detail = "; ".join(f"{list(fault.absolute_path)}: {fault.message[:300]}" for fault in faults[:5])
        check_quietly(not faults, f"{method} {path}: {detail}")
        for header in told.get("headers") or {}:
            check_quietly(header.lower() in {name.lower() for name in headers}, f"{method} {path} lacks {header}")


def modern(node):
    """OpenAPI 3.0 says `nullable`, JSON Schema a type more. A date that stands for a time is both in Alpaca's own examples."""
    if isinstance(node, list):
        return [modern(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: modern(value) for key, value in node.items() if key not in ("example", "examples", "x-examples")}
    if node.pop("nullable", False) is True and isinstance(node.get("type"), str):
        node["type"] = [node["type"], "null"]
    if node.get("format") == "date-time" and "date" in str(node.get("description", "")).lower():
        node.pop("format")
    return node


def validated(world, documents):
    def ask(method, path, body=None, **query):
        status, headers, answer = world.ask(method, path, body, **query)
        trading, market_data = documents
        is_data = path.startswith(("/v2/stocks", "/v1/", "/v1beta3/"))
        documented = urllib.parse.unquote(path) if "assets" not in path and "positions" not in path else path
        (market_data if is_data else trading).validate(method, documented, status, headers, answer)
        return status, answer

    return ask


def validation_would_notice():
    document = Document("trading-openapi.yaml")
    for body in ({"type": "market", "time_in_force": "day"}, {"notional": None, "type": "any", "time_in_force": "day"}, {"notional": 5, "type": "market", "time_in_force": "day"}):
        try:
            document.validate("GET", "/v2/orders/61e69015-8549-4bfd-b9c3-01e75843f47d", 200, {}, body)
        except SystemExit:
            continue
        check("an answer that is no order is noticed", False, body)
    check("an answer that is no order is noticed", True)


def everything_validates():
    """A year of somebody's life in seconds, on a live account: dividends, fees, deposits, partial fills."""
    documents = Document("trading-openapi.yaml"), Document("market-data-openapi.yaml")
    with StandIn("--live", "--start", "2024-03-04T14:00:00Z", "--speed", "100000", "--fills-per-minute", "1") as world:
        wanted, seen, deadline = {"FILL", "DIV", "FEE", "CFEE", "CSD"}, set(), time.monotonic() + 90
        while not wanted <= seen:
            check_quietly(time.monotonic() < deadline, f"a life brings no more than {seen}")
            time.sleep(0.2)
            seen = {row["activity_type"] for kind in wanted for row in world.get(f"/v2/account/activities/{kind}", page_size=1)}
        ask = validated(world, documents)
        ask("GET", "/v2/account")
        ask("GET", "/v2/account/configurations")
        for query in ({}, {"direction": "asc"}, {"category": "trade_activity"}, {"category": "non_trade_activity"}):
            ask("GET", "/v2/account/activities", page_size=100, **query)
        for kind in wanted:
            ask("GET", f"/v2/account/activities/{kind}")
        rows, token = [], None
        while True:
            more = {"page_token": token} if token else {}
            _, page = ask("GET", "/v2/account/activities", direction="asc", category="non_trade_activity", page_size=20, **more)
            if not page:
                break
            rows += page
            token = page[-1]["id"]
        check("every non-trade row is paged through once", len({row["id"] for row in rows}) == len(rows) > 20, len(rows))
        for status in ("open", "closed", "all"):
            ask("GET", "/v2/orders", status=status, limit=500)
        _, placed = ask("POST", "/v2/orders", {"symbol": "AAPL", "qty": "1", "side": "buy", "type": "limit", "limit_price": "1", "time_in_force": "gtc"})
        ask("GET", f"/v2/orders/{placed['id']}")
        ask("GET", "/v2/orders:by_client_order_id", client_order_id=placed["client_order_id"])
        ask("DELETE", f"/v2/orders/{placed['id']}")
        ask("DELETE", f"/v2/orders/{placed['id']}")
        ask("POST", "/v2/orders", {"symbol": "AAPL", "qty": "0", "side": "buy", "type": "market", "time_in_force": "day"})
        ask("POST", "/v2/orders", {"symbol": "AAPL", "notional": "9999999", "side": "buy", "type": "market", "time_in_force": "day"})
        ask("DELETE", "/v2/orders")
        # Nobody else trades this one, so it stays until it is closed here.
        ask("POST", "/v2/orders", {"symbol": "GOOGL", "qty": "1", "side": "buy", "type": "market", "time_in_force": "ioc"})
        deadline = time.monotonic() + 30
        while world.ask("GET", "/v2/positions/GOOGL")[0] != 200:
            check_quietly(time.monotonic() < deadline, "an order is not filled")
        _, positions = ask("GET", "/v2/positions")
        check("positions are held", len(positions) > 1, positions)
        ask("GET", "/v2/positions/GOOGL")
        ask("DELETE", "/v2/positions/GOOGL")
        ask("DELETE", "/v2/positions")
        ask("GET", "/v2/assets")
        ask("GET", "/v2/assets", status="active", asset_class="crypto")
        ask("GET", "/v2/assets/AAPL")
        ask("GET", "/v2/assets/NOSUCH")
        ask("GET", "/v2/clock")
        ask("GET", "/v2/calendar", start="2024-01-01", end="2024-12-31")
        span = {"start": "2024-02-01", "end": "2024-02-29"}
        for timeframe in ("1Min", "15Min", "1Hour", "1Day", "1Week", "1Month"):
            ask("GET", "/v2/stocks/bars", symbols="AAPL,KO", timeframe=timeframe, limit=50, **span)
            ask("GET", "/v2/stocks/AAPL/bars", timeframe=timeframe, adjustment="all", sort="desc", **span)
            ask("GET", "/v1beta3/crypto/us/bars", symbols="BTC/USD,ETH/USD", timeframe=timeframe, limit=50, **span)
        ask("GET", "/v2/stocks/bars", symbols="AAPL", timeframe="1Fortnight")
        ask("GET", "/v2/stocks/bars/latest", symbols="AAPL,KO")
        ask("GET", "/v2/stocks/AAPL/bars/latest")
        ask("GET", "/v2/stocks/trades/latest", symbols="AAPL,KO")
        ask("GET", "/v2/stocks/AAPL/trades/latest")
        ask("GET", "/v1/corporate-actions", start="2019-01-01", end="2024-12-31", limit=1000)
    for document, what in zip(documents, ("trading", "market data")):
        count = len({(method, template) for method, template, _ in document.seen})
        check(f"answers of {count} {what} operations validate against Alpaca's document", count >= 7, document.seen)


def sdk_drives_it():
    from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
    from alpaca.data.historical.corporate_actions import CorporateActionsClient
    from alpaca.data.requests import (
        CorporateActionsRequest,
        CryptoBarsRequest,
        StockBarsRequest,
        StockLatestBarRequest,
        StockLatestTradeRequest,
    )
    from alpaca.data.timeframe import TimeFrame
    from alpaca.trading.client import TradingClient
    from alpaca.trading.enums import OrderSide, OrderStatus, QueryOrderStatus, TimeInForce
    from alpaca.trading.requests import GetAssetsRequest, GetCalendarRequest, GetOrdersRequest, MarketOrderRequest
    from alpaca.trading.stream import TradingStream

    with StandIn("--fills-per-minute", "120", "--requests-per-minute", "0") as world:
        client = TradingClient(KEY, SECRET, paper=True, url_override=world.base)
        account = client.get_account()
        check("the SDK reads the account", account.status.value == "ACTIVE" and account.account_number.startswith("PA"), account)

        told, listening = [], threading.Event()
        stream = TradingStream(KEY, SECRET, paper=True, url_override=world.urls["APCA_API_STREAM_URL"])

        async def hear(update):
            told.append(update)
            listening.set()

        stream.subscribe_trade_updates(hear)
        ears = threading.Thread(target=stream.run, daemon=True)
        ears.start()
        check("the SDK hears trade updates", listening.wait(30))

        # Of a share that nobody else trades on this account.
        order = client.submit_order(
            MarketOrderRequest(symbol="GOOGL", qty=3, side=OrderSide.BUY, time_in_force=TimeInForce.DAY, client_order_id="value:sdk")
        )
        check("the SDK places an order", order.symbol == "GOOGL" and order.client_order_id == "value:sdk", order)
        deadline = time.monotonic() + 30
        mine = lambda: [update for update in list(told) if update.order.id == order.id and update.event == "fill"]
        while not mine() and time.monotonic() < deadline:
            time.sleep(0.05)
        check("the SDK hears the order's fill", mine() and mine()[0].execution_id is not None, told[-3:])
        check("the order is filled", client.get_order_by_id(order.id).status == OrderStatus.FILLED)
        check("the SDK finds the order by its own id", client.get_order_by_client_id("value:sdk").id == order.id)
        stream.stop()
        ears.join(timeout=15)

        orders = client.get_orders(GetOrdersRequest(status=QueryOrderStatus.ALL, limit=500))
        check("the SDK lists orders", any(known.id == order.id for known in orders))
        positions = client.get_all_positions()
        check("the SDK lists positions", any(position.symbol == "GOOGL" for position in positions), positions)
        check("the SDK reads one position", float(client.get_open_position("GOOGL").qty) > 0)
        check("the SDK lists assets", len(client.get_all_assets(GetAssetsRequest())) >= 25)
        check("the SDK reads one asset", client.get_asset("BRK.B").symbol == "BRK.B")
        check("the SDK reads the clock", client.get_clock().timestamp.year >= 2024)
        year = GetCalendarRequest(start=datetime(2024, 1, 1).date(), end=datetime(2024, 12, 31).date())
        check("the SDK reads the calendar", len(client.get_calendar(year)) == 252)

        fills = client.get("/account/activities", {"activity_types": "FILL", "direction": "asc", "page_size": 100})
        check("the SDK gets fills", any(row["order_id"] == str(order.id) for row in fills), fills[-1:])
        paged, token = [], None
        while True:
            page = client.get("/account/activities", {"direction": "asc", "page_size": 7, **({"page_token": token} if token else {})})
            if not page:
                break
            paged += page
            token = page[-1]["id"]
        check("the SDK pages through all activities", len({row["id"] for row in paged}) == len(paged) >= len(fills), len(paged))
        for category in ("trade_activity", "non_trade_activity"):
            rows = client.get("/account/activities", {"category": category})
            check(f"the SDK gets activities of the category {category}", all((row["activity_type"] == "FILL") == (category == "trade_activity") for row in rows))

        data = StockHistoricalDataClient(KEY, SECRET, url_override=world.base)
        end = datetime.now(timezone.utc) - timedelta(hours=1)
        symbols = ["AAPL", "AMD", "BRK.B", "F", "KO", "MSFT", "NVDA", "SPY", "T", "TSLA"]
        minutes = StockBarsRequest(symbol_or_symbols=symbols, timeframe=TimeFrame.Minute, start=end - timedelta(days=1), end=end)
        bars = data.get_stock_bars(minutes).data
        check("the SDK pages through a day of minute bars of ten symbols", sum(map(len, bars.values())) > 14_000, {symbol: len(found) for symbol, found in bars.items()})
        for symbol, found in bars.items():
            check_quietly(all(a.timestamp < b.timestamp for a, b in zip(found, found[1:])), f"{symbol}'s bars do not ascend")
            check_quietly(all(bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in found), symbol)
        latest = data.get_stock_latest_bar(StockLatestBarRequest(symbol_or_symbols=["AAPL", "KO"]))
        check("the SDK gets the latest bars", set(latest) == {"AAPL", "KO"})
        trades = data.get_stock_latest_trade(StockLatestTradeRequest(symbol_or_symbols="AAPL"))
        check("the SDK gets the latest trade", latest["AAPL"].low * 0.99 < trades["AAPL"].price < latest["AAPL"].high * 1.01, trades)
        coins = CryptoHistoricalDataClient(KEY, SECRET, url_override=world.base)
        hours = CryptoBarsRequest(symbol_or_symbols="BTC/USD", timeframe=TimeFrame.Hour, start=end - timedelta(days=2), end=end)
        check("the SDK gets bars of a coin", 47 <= len(coins.get_crypto_bars(hours).data["BTC/USD"]) <= 49)
        actions = CorporateActionsClient(KEY, SECRET, url_override=world.base)
        span = CorporateActionsRequest(symbols=["KO"], start=datetime(2024, 1, 1).date(), end=datetime(2024, 12, 31).date())
        check("the SDK gets dividends", len(actions.get_corporate_actions(span).data["cash_dividends"]) == 4)


if __name__ == "__main__":
    validation_would_notice()
    everything_validates()
    sdk_drives_it()
    print(f"{len(PASSED)} checks passed")
