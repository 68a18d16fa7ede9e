"""Takes the document's examples from a run over the made-up firm: each request is made, and what it was answered kept.

usage: examples.py BINARY TARGET

Writes src/api/document/examples.json; `daybook openapi > openapi.json` then has them. An operation that is not called
here has no example, and `run.py lint` says so.
"""

import datetime
import json
import pathlib
import sys
import urllib.error

from run import ROOT, Firm

WRITTEN = ROOT / "src/api/document/examples.json"
ITEMS_MAX = 2
TODAY = datetime.date.today()


def day(ago):
    return str(TODAY - datetime.timedelta(days=ago))


def shorter(value):
    """The same answer with the first items of its lists alone."""
    if isinstance(value, list):
        return [shorter(item) for item in value[:ITEMS_MAX]]
    if isinstance(value, dict):
        return {name: shorter(item) for name, item in value.items()}
    return value


class Run:
    def __init__(self, firm):
        self.firm = firm
        self.document = firm.call("GET", "/openapi.json")
        self.operations = {
            operation["operationId"]: (method.upper(), path, operation)
            for path, methods in self.document["paths"].items()
            for method, operation in methods.items()
        }
        self.kept = {}

    def there(self, *operations):
        return all(operation in self.operations for operation in operations)

    def call(self, id, /, body=None, token=None, query="", **ids):
        """Makes a request and keeps it as the operation's example."""
        if id not in self.operations:
            return {}
        method, path, operation = self.operations[id]
        try:
            answer = self.firm.call(method, "/v1" + path.format(**ids) + query, body, token)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"examples: {id} was answered with {error.code}: {error.read().decode()}") from error
        kept = self.kept.setdefault(id, {})
        if body is not None:
            kept["request"] = body
        kept["response"] = shorter(answer)
        return answer

    def upload(self, id, /, texts, file, **ids):
        """Sends a file in a form and keeps it as the operation's example."""
        path = self.operations[id][1]
        answer = self.firm.upload("/v1" + path.format(**ids), texts, file)
        self.kept[id] = {"request": {**texts, "file": file}, "response": shorter(answer)}
        return answer

    def first(self, id, /, query="", **ids):
        items = self.call(id, query=query, **ids).get("items", [])
        return items[0] if items else {}

    def all(self):
        firm = self.firm
        portfolios = [item["id"] for item in self.call("listPortfolios", query="?limit=1000")["items"]]
        # The portfolio that shows most: trades closed and open, and positions by name.
        count = lambda id, what: len(firm.call("GET", f"/v1/portfolios/{id}/{what}?limit=1000")["items"])
        mine = max(portfolios, key=lambda id: min(count(id, "trades"), 10 * count(id, "positions")))
        about = {"id": mine}
        for id in ("readPortfolio", "listPositions", "listLots", "listTransactions", "listTrades"):
            self.call(id, **about)
        self.call("listEquity", query=f"?interval=day&from={day(9)}&to={day(2)}", **about)
        self.call("listSummaries", query=f"?ids={portfolios[0]},{portfolios[1]}&figures=equity,realised")
        symbol = self.first("listPositions", **about)["symbol"]
        self.call("listPrices", symbol=symbol, query=f"?from={day(9)}&to={day(2)}")
        self.call("listInstruments")
        self.call("readInstrument", instrument=symbol)
        self.call("listInstrumentChanges")
        self.call("readInstrumentRisk", instrument=symbol)
        self.call("classifyInstrument", {"sector": "Technology", "country": "US"}, instrument=symbol)
        self.call("listEvents")
        self.writes(mine, symbol)
        self.people(mine)
        self.advice(mine, symbol)
        for id in ("listImports", "listQuarantine", "listSources", "listTokens", "listWebhooks", "viewFirm"):
            if id in self.operations:
                self.call(id)
        if self.there("viewAdvisor", "viewClient"):
            past = firm.call("GET", "/v1/recommendations?limit=1")["items"][0]
            self.call("viewAdvisor", advisor=past["advisor"])
            self.call("viewClient", party=past["party"])
        return self.kept

    def writes(self, mine, symbol):
        opened = self.call("openPortfolio", {"name": "Retirement", "currency": "USD", "lots": "fifo"})
        deposit = {"time": "2024-03-04", "type": "deposit", "amount": "2500"}
        self.call("recordTransaction", deposit, id=opened["id"])
        bought = {"time": "2024-03-05T14:31:07Z", "type": "buy", "symbol": symbol, "quantity": "10", "price": "101.25",
                  "fee": "1", "id": "fill-20240305-1", "strategy": "core"}
        recorded = self.call("recordTransaction", bought, id=opened["id"])
        self.call("readEvent", sequence=recorded["sequence"])
        trade = self.first("listTrades", id=mine)
        self.call("readTrade", id=mine, trade=trade["id"])
        note = {"tags": ["patience"], "setup": "pullback", "rating": 4, "note": "Waited for the second test."}
        self.call("annotateTrade", note, id=mine, trade=trade["id"])
        self.call("listTradeAnnotations", id=mine, trade=trade["id"])
        self.call("listAnnotations", id=mine)
        plan = {"symbol": symbol, "side": "buy", "quantity": "10", "entry_price": "100", "stop": "95", "target": "115",
                "note": "Only above the average."}
        self.call("planTrade", plan, id=mine)
        self.call("listPlans", id=mine)
        mistake = self.call("recordTransaction", dict(deposit, amount="25"), id=opened["id"])
        self.kept["recordTransaction"]["request"] = bought
        self.call("reverseEvent", {"reason": "typed into the wrong portfolio"}, sequence=mistake["sequence"])
        self.call("recordPrices", {"items": [{"symbol": symbol, "date": day(3), "close": "101.5"}]})
        token = {"role": "display", "portfolios": [mine], "percentages_only": True}
        self.call("issueToken", token)
        rows = "time,type,symbol,quantity,price,amount\n2024-03-04,deposit,,,,2500\n2024-03-05,buy,KO,10,59.5,\n"
        brought = self.upload("importFile", {"format": "csv"}, rows, id=opened["id"])["import"]
        self.call("readImport", id=brought)
        self.call("revertImport", {"reason": "the wrong portfolio"}, id=brought)
        columns = "Date,Action,Symbol,Description,Quantity,Price,Fees & Comm,Amount\n"
        unknown = columns + "01/09/2024,Qual. Div. Reinvest Of Nothing Known,ZETA,Zeta,1,,,\n01/09/2024,Cash Dividend,ZETA,Zeta,,,,$2.00\n"
        self.firm.upload(f"/v1/portfolios/{opened['id']}/imports", {"format": "schwab"}, unknown)
        kept = self.first("listQuarantine", query="?state=open")
        resolution = {"resolution": "dismissed", "note": "The dividend came as cash."}
        self.call("resolveQuarantined", resolution, sequence=kept["sequence"])
        prices = "date,close\n2024-03-04,59.4\n2024-03-05,59.5\n"
        self.upload("importPrices", {"format": "prices", "symbol": "KO"}, prices)
        self.call("listPortfolioImports", id=opened["id"])
        self.call("listOrders", id=mine)

    def people(self, mine):
        if not self.there("registerAdvisor", "onboardParty", "setProfile"):
            return
        advisor = self.call("registerAdvisor", {"name": "Iris Vale", "contact": {"email": "iris@example.org"}})["id"]
        successor = self.call("registerAdvisor", {"name": "Tomas Rune"})["id"]
        person = {"kind": "person", "name": "Ann Lind", "tax_country": "US", "advisor": advisor}
        ann, bo = (self.call("onboardParty", dict(person, name=name))["id"] for name in ("Ann Lind", "Bo Lind"))
        couple = {"kind": "joint", "name": "Ann and Bo Lind", "members": [ann, bo], "advisor": advisor}
        party = self.call("onboardParty", couple)["id"]
        self.call("amendParty", {"contact": {"email": "lind@example.org"}}, id=party)
        self.call("amendAdvisor", {"licence": "CRD 1234567"}, id=advisor)
        profile = {
            "expects_version": 0, "objectives": ["growth"], "risk_tolerance": "medium", "loss_capacity": "medium",
            "horizon_years": 12, "liquidity_reserve": {"amount": "5000", "currency": "USD"}, "drawdown_max": "0.2",
            "exclusions": [{"dimension": "sector", "value": "tobacco"}],
            "caps": [{"dimension": "instrument", "share_max": "0.25"}],
            "targets": [{"sleeve": "etf", "weight": "0.6", "band": "0.05"}],
            "review_due": str(TODAY + datetime.timedelta(days=300)),
        }
        self.call("setProfile", profile, party=party)
        self.call("holdReview", {"outcome": "confirmed", "next_due": str(TODAY + datetime.timedelta(days=365))}, party=party)
        self.call("assignClient", {"advisor": successor, "role": "support"}, party=party)
        opened = self.firm.call("POST", "/v1/portfolios", {"name": "Home", "client": party})["id"]
        self.call("setOwners", {"owners": [{"party": ann, "share": "0.5"}, {"party": bo, "share": "0.5"}]}, id=opened)
        self.call("setMandate", {"mandate": "advisory"}, id=opened)
        symbol = self.first("listInstruments")["symbol"]
        self.call("chooseBenchmark", {"instrument": symbol}, id=opened)
        model = self.call("publishModel", {"name": "Balanced", "targets": [{"sleeve": "etf", "weight": "0.6"}]})["id"]
        self.call("publishModelVersion", {"expects_version": 1, "targets": [{"sleeve": "etf", "weight": "0.7"}]}, id=model)
        self.call("assignModel", {"model": model}, id=opened)
        team = self.call("formTeam", {"name": "Families", "members": [advisor, successor]})["id"]
        self.call("amendTeam", {"name": "Families and trusts"}, id=team)
        household = self.call("formHousehold", {"name": "Lind", "members": [ann, bo]})["id"]
        self.call("amendHousehold", {"name": "The Linds"}, id=household)
        for id in ("listAdvisors", "listParties", "listClients", "listTeams", "listHouseholds", "listModels"):
            self.call(id)
        for id, about in (
            ("readAdvisor", advisor), ("listAdvisorHistory", advisor), ("readParty", party), ("listPartyHistory", party),
            ("readTeam", team), ("listTeamHistory", team), ("readHousehold", household),
            ("listHouseholdHistory", household), ("readModel", model), ("listModelVersions", model),
            ("readTerms", opened), ("listTermsHistory", opened), ("listOwners", opened),
        ):
            self.call(id, id=about)
        for id in ("readClient", "listAssignments", "listProfiles", "listReviews"):
            self.call(id, party=party)
        self.call("readProfile", party=party, version=1)
        self.call("offboardParty", {"on": day(0), "reason": "moved away"}, id=self.call("onboardParty", person)["id"])
        self.call("departAdvisor", {"on": day(0), "successor": successor}, id=advisor)
        self.kept["registerAdvisor"]["request"] = {"name": "Iris Vale", "contact": {"email": "iris@example.org"}}

    def advice(self, mine, symbol):
        if not self.there("issueRecommendation", "listRecommendations"):
            return
        before = self.first("listRecommendations")
        mine = before["portfolio"]
        symbol = self.firm.call("GET", f"/v1/portfolios/{mine}/positions?limit=1")["items"][0]["symbol"]
        self.call("readSuitability", id=mine)
        trades = [{"symbol": symbol, "side": "buy", "amount": "250"}]
        screened = self.call("screenRecommendation", {"portfolio": mine, "trades": trades})
        advisor, client, second = (
            self.firm.call("POST", "/v1/tokens", {"role": role, "subject": subject})["token"]
            for role, subject in (
                ("advisor", before["advisor"]), ("client", before["party"]), ("administrator", "olga"),
            )
        )
        asked = {"portfolio": mine, "trades": trades, "rationale": "It fills what the target lacks.",
                 "profile_version": screened.get("profile_version"), "expected_cost": "1"}
        exception = {"reason": "The client holds the rest elsewhere."}

        def issue():
            """One that the client sees, by an exception where the rules hold it back."""
            issued = self.firm.call("POST", "/v1/recommendations", asked, advisor)
            path = f"/v1/recommendations/{issued['id']}"
            if issued["state"] == "blocked":
                self.firm.call("POST", path + "/override", exception, advisor)
                self.firm.call("POST", path + "/override/approve", {}, second)
            return issued["id"]

        def blocked():
            """One that the rules hold back: all of the equity in one instrument, and more."""
            much = dict(asked, trades=[{"symbol": symbol, "side": "buy", "weight": "1"}])
            return self.firm.call("POST", "/v1/recommendations", much, advisor)["id"]

        issued = self.call("issueRecommendation", asked, advisor)
        self.call("readRecommendation", id=issued["id"])
        self.call("listRecommendationHistory", id=issued["id"])
        for decision in ("approveOverride", "refuseOverride"):
            held = blocked()
            self.call("requestOverride", exception, advisor, id=held)
            self.call(decision, {"note": "Seen, and talked over with the client."}, second, id=held)
        accepted = issue()
        self.call("acceptRecommendation", {"note": "Please do."}, client, id=accepted)
        self.call("declineRecommendation", {"reason": "too_risky", "note": "Not this year."}, client, id=issue())
        self.call("withdrawRecommendation", {"reason": "The issuer was taken over."}, advisor, id=issue())
        now = datetime.datetime.now(datetime.UTC).isoformat()
        bought = {"time": now, "type": "buy", "symbol": symbol, "quantity": "1", "price": "100"}
        fill = self.firm.call("POST", f"/v1/portfolios/{mine}/transactions", bought, advisor)["sequence"]
        self.call("executeRecommendation", {"fills": [fill]}, advisor, id=accepted)


if __name__ == "__main__":
    binary, target = map(pathlib.Path, sys.argv[1:])
    firm = Firm(binary.resolve(), target.resolve() / "conformance" / "firm-examples")
    try:
        kept = Run(firm).all()
    finally:
        firm.stop()
    WRITTEN.write_text(json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    print(f"examples: {len(kept)} operations")
