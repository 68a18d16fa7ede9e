// A day at the firm, through the TypeScript client that is generated from the OpenAPI document.
//
// usage: node day.mjs URL TOKEN      the administrator's token of a service over the made-up firm

import createClient from "openapi-fetch";
import type { components, paths } from "./daybook.js";

type Schemas = components["schemas"];

const [url, token] = process.argv.slice(2);

const somebody = (secret: string) =>
  createClient<paths>({ baseUrl: `${url}/v1`, headers: { Authorization: `Bearer ${secret}` } });

function holds(what: boolean, why: string, shown?: unknown): asserts what {
  if (!what) throw new Error(`day: ${why}: ${JSON.stringify(shown)}`);
}

/** The answer, if it is no problem. */
async function good<T>(asked: Promise<{ data?: T; error?: unknown; response: Response }>): Promise<T> {
  const { data, error, response } = await asked;
  holds(response.ok && data !== undefined, `${response.url} was answered with ${response.status}`, error);
  return data;
}

const office = somebody(token ?? "");

async function person(role: Schemas["TokenRequest"]["role"], subject: string) {
  return somebody((await good(office.POST("/tokens", { body: { role, subject } }))).token);
}

// An advisor who recommended something before, and the client to whom.
const past = (await good(office.GET("/recommendations", { params: { query: { limit: 1 } } }))).items[0];
holds(past !== undefined, "nobody recommended anything");
const advisor = await person("advisor", past.advisor);
const client = await person("client", past.party);
const portfolio = { path: { id: past.portfolio } };

// The advisor sees own portfolios alone.
const own = (await good(advisor.GET("/portfolios", { params: { query: { limit: 1000 } } }))).items;
const every = (await good(office.GET("/portfolios", { params: { query: { limit: 1000 } } }))).items;
holds(own.length > 0 && own.length < every.length, "an advisor sees own clients alone", [own.length, every.length]);
const positions = (await good(advisor.GET("/portfolios/{id}/positions", { params: portfolio }))).items;
const symbol = positions.map((position) => position.symbol).find((name) => typeof name === "string");
holds(typeof symbol === "string", "a portfolio without a position", past.portfolio);

// A recommendation is screened, issued, allowed by a second person where the rules hold it back, and accepted.
const trades: Schemas["TradeRequest"][] = [{ symbol, side: "buy", amount: "100" }];
const screening = await good(
  advisor.POST("/recommendations/screen", { body: { portfolio: past.portfolio, trades } }),
);
const body: Schemas["RecommendationRequest"] = {
  portfolio: past.portfolio,
  trades,
  rationale: "A little more of what is held.",
  expected_cost: "1",
  ...(screening.profile_version === undefined ? {} : { profile_version: screening.profile_version }),
};
const once = { header: { "Idempotency-Key": "day-1" } };
const issued = await good(advisor.POST("/recommendations", { params: once, body }));
const again = await good(advisor.POST("/recommendations", { params: once, body }));
holds(again.id === issued.id, "the same request under one key is done once", again);
const recommendation = { path: { id: issued.id } };
if (issued.state === "blocked") {
  await good(
    advisor.POST("/recommendations/{id}/override", {
      params: recommendation,
      body: { reason: "agreed by telephone" },
    }),
  );
  const second = await person("administrator", "olga");
  await good(
    second.POST("/recommendations/{id}/override/approve", { params: recommendation, body: { note: "seen" } }),
  );
}
const accepted = await good(
  client.POST("/recommendations/{id}/accept", { params: recommendation, body: { note: "please do" } }),
);
holds(accepted.state === "accepted", "it is accepted", accepted);

// It is carried out, typed wrongly, undone and typed again. What was known before stays known.
async function summary(query: { at_sequence?: number } = {}): Promise<Schemas["PortfolioSummary"]> {
  const told = await good(client.GET("/portfolios/{id}", { params: { ...portfolio, query } }));
  // To a token that shows percentages only, the same route answers in proportions.
  holds("cash" in told, "amounts for a client", told);
  return told;
}
const record = (quantity: string) =>
  good(
    advisor.POST("/portfolios/{id}/transactions", {
      params: portfolio,
      body: { time: new Date().toISOString(), type: "buy", symbol, quantity, price: "10", fee: "1" },
    }),
  );
const cash = (told: Schemas["PortfolioSummary"]) => JSON.stringify(told.cash);
const before = await summary();
const wrong = await record("100");
const mistaken = await summary();
holds(cash(mistaken) !== cash(before), "a purchase costs", mistaken.cash);
await good(
  advisor.POST("/events/{sequence}/reverse", {
    params: { path: { sequence: wrong.sequence } },
    body: { reason: "one was meant" },
  }),
);
holds(cash(await summary()) === cash(before), "what is undone never was");
await record("1");
holds(cash(await summary({ at_sequence: mistaken.sequence })) === cash(mistaken), "what was known stays known");

// The auditor reads the log, and the client may not.
const auditor = await person("auditor", "kira");
const event = await good(auditor.GET("/events/{sequence}", { params: { path: { sequence: wrong.sequence } } }));
holds(event.type === "TradeExecuted" && event.actor === past.advisor, "who bought", event);
const refused = await client.GET("/events");
holds(refused.error?.status === 403, "a client does not read the log", refused.error);
console.log(`carried out, corrected and audited: ${past.portfolio}`);
