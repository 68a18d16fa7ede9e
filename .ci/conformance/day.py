"""A day at the firm, through the Python client that is generated from the OpenAPI document.

usage: day.py URL TOKEN      the administrator's token of a service over the made-up firm
"""

import datetime
import sys
from typing import TypeVar

import httpx
from daybook_client import AuthenticatedClient
from daybook_client.api.recommendations import (
    accept_recommendation,
    issue_recommendation,
    list_recommendations,
    read_recommendation,
    request_override,
    approve_override,
    screen_recommendation,
)
from daybook_client.api.events import list_events, read_event, reverse_event
from daybook_client.api.portfolios import list_portfolios, list_positions, read_portfolio
from daybook_client.api.tokens import issue_token
from daybook_client.api.transactions import list_transactions, record_transaction
from daybook_client import models
from daybook_client.types import Unset

T = TypeVar("T")


def good(answer: T | models.Problem | None) -> T:
    """The answer, if it is no problem."""
    if answer is None or isinstance(answer, models.Problem):
        raise SystemExit(f"day: {answer}")
    return answer


def said(value: T | Unset | None) -> T:
    """A member that must be there."""
    if value is None or isinstance(value, Unset):
        raise SystemExit("day: a member is absent that should be there")
    return value


def main(url: str, token: str) -> None:
    def somebody(secret: str) -> AuthenticatedClient:
        return AuthenticatedClient(base_url=f"{url}/v1", token=secret, timeout=httpx.Timeout(60))

    office = somebody(token)

    def person(role: models.TokenRequestRole, subject: str) -> AuthenticatedClient:
        asked = models.TokenRequest(role=role, subject=subject)
        return somebody(good(issue_token.sync(client=office, body=asked)).token)

    # An advisor who recommended something before, and the client to whom.
    past = good(list_recommendations.sync(client=office, limit=1)).items[0]
    advisor = person("advisor", past.advisor)
    client = person("client", past.party)

    # The advisor sees own portfolios alone, and what is in the one that comes first.
    own = good(list_portfolios.sync(client=advisor, limit=1000)).items
    every = good(list_portfolios.sync(client=office, limit=1000)).items
    assert 0 < len(own) < len(every), (len(own), len(every))
    portfolio = past.portfolio
    assert any(item.id == portfolio for item in own)
    position = next(item for item in good(list_positions.sync(portfolio, client=advisor)).items if item.symbol)
    symbol = said(position.symbol)

    # A recommendation is screened, issued, allowed by a second person where the rules hold it back, and accepted.
    trades = [models.TradeRequest(symbol=symbol, side="buy", amount="100")]
    screening = good(
        screen_recommendation.sync(client=advisor, body=models.ScreeningRequest(portfolio=portfolio, trades=trades))
    )
    print(f"screened: {screening.overall}, {len(screening.findings)} rules")
    asked = models.RecommendationRequest(
        portfolio=portfolio,
        trades=trades,
        rationale="A little more of what is held.",
        profile_version=screening.profile_version,
        expected_cost="1",
    )
    issued = good(issue_recommendation.sync(client=advisor, body=asked, idempotency_key="day-1"))
    again = good(issue_recommendation.sync(client=advisor, body=asked, idempotency_key="day-1"))
    assert again.id == issued.id, "the same request under one key is done once"
    if issued.state == "blocked":
        good(request_override.sync(issued.id, client=advisor, body=models.OverrideRequest(reason="agreed by telephone")))
        second = person("administrator", "olga")
        good(approve_override.sync(issued.id, client=second, body=models.DecisionRequest(note="seen")))
    accepted = good(accept_recommendation.sync(issued.id, client=client, body=models.AcceptanceRequest(note="please do")))
    assert accepted.state == "accepted", accepted.state
    assert good(read_recommendation.sync(issued.id, client=client)).screening == issued.screening

    # It is carried out, typed wrongly, undone and typed again. What was known before stays known.
    before = good(read_portfolio.sync(portfolio, client=client))
    now = datetime.datetime.now(datetime.timezone.utc)

    def bought(quantity: str) -> models.TransactionRequest:
        return models.TransactionRequest(time=now, type_="buy", symbol=symbol, quantity=quantity, price="10", fee="1")

    wrong = good(record_transaction.sync(portfolio, client=advisor, body=bought("100")))
    mistaken = good(read_portfolio.sync(portfolio, client=client))
    assert mistaken.cash != before.cash
    good(reverse_event.sync(wrong.sequence, client=advisor, body=models.ReversalRequest(reason="one was meant")))
    undone = good(read_portfolio.sync(portfolio, client=client))
    assert undone.cash == before.cash, (undone.cash, before.cash)
    good(record_transaction.sync(portfolio, client=advisor, body=bought("1")))
    then = good(read_portfolio.sync(portfolio, client=client, at_sequence=mistaken.sequence))
    assert then.cash == mistaken.cash
    newest = good(list_transactions.sync(portfolio, client=client, limit=1000)).items
    assert any(item.sequence > wrong.sequence for item in newest) or len(newest) == 1000

    # The auditor reads the log, and the client may not.
    auditor = person("auditor", "kira")
    event = good(read_event.sync(wrong.sequence, client=auditor))
    assert event.type_ == "TradeExecuted" and event.actor == past.advisor, event
    assert len(good(list_events.sync(client=auditor, limit=10)).items) == 10
    refused = list_events.sync(client=client)
    assert isinstance(refused, models.Problem) and refused.status == 403, refused
    print(f"carried out, corrected and audited: {portfolio} at {good(read_portfolio.sync(portfolio, client=client)).sequence}")


if __name__ == "__main__":
    main(*sys.argv[1:])
