//! A fortnight of the firm's life, in the words of its people.

use crate::support::{Answer, Client, Directory, Service, d};
use chrono::{Days, NaiveDate, Utc};
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const DESK_SECRET: &str = "the-secret-of-the-desk";

/// The firm as its people see it: each has a way to call of their own.
struct Firm {
    directory: Directory,
    service: Service,
    today: NaiveDate,
}

fn text(json: &Value, name: &str) -> String {
    json[name].as_str().unwrap_or_else(|| panic!("no {name}: {json:#}")).to_owned()
}

fn sequence(answer: &Value) -> u64 {
    answer["sequence"].as_u64().unwrap_or_else(|| panic!("no sequence: {answer:#}"))
}

/// What an answer says, without when it was asked.
fn figures(answer: &Answer) -> Value {
    fn timeless(json: &mut Value) {
        match json {
            Value::Object(members) => {
                if members.contains_key("as_of") {
                    members.retain(|name, _| name != "as_of" && name != "sequence");
                }
                members.values_mut().for_each(timeless);
            }
            Value::Array(items) => items.iter_mut().for_each(timeless),
            _ => {}
        }
    }
    let mut json = answer.json();
    timeless(&mut json);
    json
}

impl Firm {
    fn new() -> Self {
        let directory = Directory::new();
        let service = Service::start(&directory);
        Self { directory, service, today: Utc::now().date_naive() }
    }

    /// The day so many days ago.
    fn day(&self, ago: u64) -> String {
        self.today.checked_sub_days(Days::new(ago)).unwrap().to_string()
    }

    /// Somebody with a token of their own.
    fn person(&self, role: &str, subject: &str) -> Client {
        let issued = self
            .service
            .client()
            .post("/v1/tokens", &json!({ "role": role, "subject": subject }))
            .ok()
            .json();
        self.service.client().showing(Some(&text(&issued, "token")))
    }

    /// The service again, now with the desk's system as a source of a portfolio's fills.
    fn connected(self, portfolio: &str) -> Self {
        let Self { directory, service, today } = self;
        service.stop();
        let configuration =
            format!("[webhooks.inbound.desk]\nportfolio = \"{portfolio}\"\nsecret_env = \"DESK_SECRET\"\n");
        let file = directory.write("daybook.toml", &configuration);
        let mut command = directory.command(&["serve", "--listen", "127.0.0.1:0", "--config", &file]);
        command.env("DESK_SECRET", DESK_SECRET);
        let service = Service::run(&directory, command);
        Self { directory, service, today }
    }

    /// What the desk's system sends, signed.
    fn delivers(&self, body: &Value) -> Answer {
        let (timestamp, body) = (Utc::now().timestamp().to_string(), body.to_string());
        let mut mac = Hmac::<Sha256>::new_from_slice(DESK_SECRET.as_bytes()).unwrap();
        mac.update(format!("{timestamp}.{body}").as_bytes());
        let bytes = mac.finalize().into_bytes();
        let signature = bytes.iter().fold("v1=".to_owned(), |text, byte| format!("{text}{byte:02x}"));
        let headers = [
            ("Content-Type", "application/json"),
            ("Daybook-Timestamp", timestamp.as_str()),
            ("Daybook-Signature", signature.as_str()),
        ];
        let desk = self.service.client().showing(None);
        desk.send("POST", "/v1/webhooks/desk", &headers, Some(body.as_bytes()))
    }

    /// Two years of closes: one that hardly moves, and one that moves a lot, both where they end today.
    fn quote(&self, office: &Client) {
        let mut items = Vec::new();
        for ago in (0..760_u64).rev() {
            let day = self.day(ago);
            let wave = i64::try_from(ago * 7 % 11).unwrap() - 5;
            let storm = i64::try_from(ago * 13 % 29).unwrap() - 14;
            items.push(json!({ "symbol": "BOND", "date": day, "close": format!("{}", d("100") + d("0.02") * d(&wave.to_string())) }));
            items.push(json!({ "symbol": "WILD", "date": day, "close": format!("{}", d("50") + d("0.9") * d(&storm.to_string())) }));
        }
        for part in items.chunks(500) {
            office.post("/v1/prices", &json!({ "items": part })).has(201);
        }
    }
}

#[test]
fn a_fortnight_at_the_firm() {
    let firm = Firm::new();
    let office = firm.service.client();
    firm.quote(&office);

    // Monday. Two advisors are registered; a couple and their trust become Iris's clients.
    let advisor = |name: &str| {
        text(
            &office.post("/v1/advisors", &json!({ "name": name, "from": firm.day(400) })).has(201).json(),
            "id",
        )
    };
    let (iris, tomas) = (advisor("Iris Vale"), advisor("Tomas Rune"));
    let (as_iris, as_tomas) = (firm.person("advisor", &iris), firm.person("advisor", &tomas));
    let onboard = |name: &str, kind: &str, members: &[&str]| {
        let body = json!({ "kind": kind, "name": name, "members": members, "tax_country": "US", "on": firm.day(14) });
        text(&as_iris.post("/v1/parties", &body).has(201).json(), "id")
    };
    let (ann, bo) = (onboard("Ann Lind", "person", &[]), onboard("Bo Lind", "person", &[]));
    let couple = onboard("Ann and Bo Lind", "joint", &[&ann, &bo]);
    let trust = onboard("Lind Trust", "trust", &[&ann]);
    assert_eq!(as_iris.pages("/v1/clients").len(), 4);
    assert_eq!(as_tomas.pages("/v1/clients"), Vec::<Value>::new());

    // Tuesday. The couple's profile is taken down: no more than a third in one instrument.
    let profile = json!({
        "expects_version": 0, "objectives": ["growth"], "risk_tolerance": "very_high", "loss_capacity": "very_high",
        "horizon_years": 20, "liquidity_reserve": { "amount": "1000", "currency": "USD" }, "drawdown_max": "0.4",
        "caps": [{ "dimension": "instrument", "share_max": "0.34" }],
        "review_due": firm.today.checked_add_days(Days::new(300)).unwrap().to_string(), "from": firm.day(13),
    });
    let profiles = format!("/v1/clients/{couple}/profiles");
    as_iris.post(&profiles, &profile).has(201);
    as_tomas.post(&profiles, &profile).refuses(404);
    // What two write at once is taken from one of them.
    assert_eq!(as_iris.post(&profiles, &profile).refuses(409)["status"], 409);

    // Wednesday. Their portfolio is opened and funded; the firm advises, they decide.
    let opened =
        as_iris.post("/v1/portfolios", &json!({ "name": "Retirement", "client": couple })).has(201).json();
    let portfolio = text(&opened, "id");
    let below = |path: &str| format!("/v1/portfolios/{portfolio}{path}");
    let owners = json!({ "owners": [{ "party": couple, "share": "1" }], "from": firm.day(12) });
    office.post(&below("/owners"), &owners).ok();
    office.post(&below("/mandate"), &json!({ "mandate": "advisory", "from": firm.day(12) })).ok();
    as_iris
        .post(&below("/transactions"), &json!({ "time": firm.day(12), "type": "deposit", "amount": "20000" }))
        .has(201);
    let as_couple = firm.person("client", &couple);
    assert_eq!(as_couple.get(&below("")).ok().json()["equity"], "20000");
    assert_eq!(as_couple.pages("/v1/portfolios").len(), 1);
    as_tomas.get(&below("")).refuses(404);
    let funded = office.head();

    // Thursday. Iris recommends too much of one thing. The rules hold it back, and the couple never sees it.
    let recommend = |side: &str, weight: &str, expires: Option<String>| {
        let mut body = json!({
            "portfolio": portfolio, "profile_version": 1, "rationale": "a steady income", "expected_cost": "1",
            "trades": [{ "symbol": "BOND", "side": side, "weight": weight }],
        });
        if let Some(expires) = expires {
            body["expires"] = expires.into();
        }
        as_iris.post("/v1/recommendations", &body).has(201).json()
    };
    let stale = json!({ "portfolio": portfolio, "profile_version": 7, "rationale": "r", "trades": [] });
    as_iris.post("/v1/recommendations", &stale).refuses(409);
    let unknown = json!({
        "portfolio": portfolio, "profile_version": 1, "rationale": "r",
        "trades": [{ "symbol": "BONDD", "side": "buy", "weight": "0.1" }],
    });
    let refused = as_iris.post("/v1/recommendations", &unknown).refuses(422).to_string();
    assert!(refused.contains("BONDD") && refused.contains("nearest is BOND\""), "{refused}");
    let blocked = recommend("buy", "0.6", None);
    assert_eq!((&blocked["state"], &blocked["overall"]), (&json!("blocked"), &json!("block")), "{blocked:#}");
    let of = |item: &Value, path: &str| format!("/v1/recommendations/{}{path}", text(item, "id"));
    as_couple.get(&of(&blocked, "")).refuses(404);
    as_couple.post(&of(&blocked, "/accept"), &json!({})).refuses(404);

    // She asks for an exception, may not grant it herself, and a second person does.
    as_iris.post(&of(&blocked, "/override"), &json!({ "reason": "the couple holds shares elsewhere" })).ok();
    as_iris.post(&of(&blocked, "/override/approve"), &json!({})).refuses(403);
    let as_herself = firm.person("administrator", &iris);
    as_herself.post(&of(&blocked, "/override/approve"), &json!({})).refuses(403);
    let as_olga = firm.person("administrator", "olga");
    let allowed =
        as_olga.post(&of(&blocked, "/override/approve"), &json!({ "note": "seen and agreed" })).ok().json();
    assert_eq!(allowed["state"], "issued", "{allowed:#}");

    // Friday. The couple accepts, once and for all.
    let accepted = as_couple.post(&of(&blocked, "/accept"), &json!({ "note": "please do" })).ok().json();
    assert_eq!(accepted["state"], "accepted");
    as_couple.post(&of(&blocked, "/decline"), &json!({ "reason": "too_costly" })).refuses(409);
    assert_eq!(
        as_couple.get(&of(&blocked, "")).ok().json()["screening"],
        blocked["screening"],
        "evidence is frozen"
    );

    // The next Monday. It is carried out by two fills, one of them typed wrongly.
    let today = firm.day(0);
    let fill = |id: &str, quantity: &str| json!({ "time": today, "type": "buy", "symbol": "BOND", "quantity": quantity, "price": "100", "fee": "1", "id": id });
    let first = sequence(&as_iris.post(&below("/transactions"), &fill("f1", "60")).has(201).json());
    let wrong = sequence(&as_iris.post(&below("/transactions"), &fill("f2", "600")).has(201).json());
    assert_eq!(sequence(&as_iris.post(&below("/transactions"), &fill("f1", "60")).has(200).json()), first);
    as_iris.post(&of(&blocked, "/execute"), &json!({ "fills": [first, wrong] })).ok();
    assert_eq!(as_couple.get(&of(&blocked, "")).ok().json()["state"], "executed");
    let mistaken_head = office.head();
    let mistaken = as_couple.get(&below("")).ok();

    // Tuesday. The mistake is found, undone and booked again; what was known on Monday stays known.
    let tag = mistaken.header("etag").unwrap().to_owned();
    let reversal = json!({ "reason": "six hundred was typed for sixty" });
    let reverse = format!("/v1/events/{wrong}/reverse");
    as_tomas.post(&reverse, &reversal).refuses(404);
    as_couple.post(&reverse, &reversal).refuses(403);
    as_iris.post_keyed(&reverse, &reversal, &[("If-Match", &tag)]).has(201);
    as_iris.post(&below("/transactions"), &fill("f3", "60")).has(201);
    let corrected = as_couple.get(&below("")).ok();
    assert_eq!(corrected.json()["cash"]["USD"], "7998");
    assert_ne!(figures(&corrected), figures(&mistaken));
    let then = as_couple.get(&below(&format!("?at_sequence={mistaken_head}"))).ok();
    assert_eq!(figures(&then), figures(&mistaken));
    // Whoever decides on what they read before is told so.
    as_iris.post_keyed(&below("/transactions"), &fill("f4", "1"), &[("If-Match", &tag)]).refuses(412);

    // Wednesday. One is declined, one lapses, one is held still.
    let declined = recommend("sell", "0.3", None);
    assert_eq!(declined["state"], "issued", "{declined:#}");
    as_couple.post(&of(&declined, "/decline"), &json!({ "reason": "too_risky", "note": "not now" })).ok();
    assert_eq!(as_iris.get(&of(&declined, "")).ok().json()["state"], "declined");
    let soon = (Utc::now() + chrono::Duration::milliseconds(1_500)).to_rfc3339();
    let lapsing = recommend("sell", "0.25", Some(soon));
    std::thread::sleep(std::time::Duration::from_millis(1_700));
    assert_eq!(as_couple.get(&of(&lapsing, "")).ok().json()["state"], "expired");
    as_couple.post(&of(&lapsing, "/accept"), &json!({})).refuses(409);

    // Thursday. The yearly review is held; its note is the firm's own.
    let review = json!({ "outcome": "confirmed", "note": "calm as ever", "on": firm.day(0) });
    as_iris.post(&format!("/v1/clients/{couple}/reviews"), &review).has(201);
    let seen = as_couple.get(&format!("/v1/clients/{couple}/reviews")).ok().json();
    assert_eq!(seen["items"].as_array().unwrap().len(), 1);
    assert!(!seen.to_string().contains("calm as ever"));

    // Friday. Tomas takes the couple over: from this moment he sees everything and Iris nothing.
    let client = |moment: &str| format!("/v1/clients/{couple}{moment}");
    let yesterday = client(&format!("?as_of={}", firm.day(1)));
    let before = office.get(&yesterday).ok();
    let handover = json!({ "advisor": tomas, "role": "lead", "from": firm.day(0) });
    as_iris.post(&client("/assignments"), &json!({ "advisor": tomas })).refuses(403);
    office.post(&client("/assignments"), &handover).ok();
    let all = [client(""), below(""), below("/transactions"), of(&blocked, ""), client("/profiles")];
    for path in &all {
        as_iris.get(path).refuses(404);
        as_tomas.get(path).ok();
        as_couple.get(path).ok();
    }
    assert_eq!(as_iris.pages("/v1/clients").len(), 3);
    assert_eq!(as_tomas.pages("/v1/clients").len(), 1);
    as_iris.get(&format!("/v1/clients/{trust}")).ok();
    as_tomas.get(&format!("/v1/clients/{trust}")).refuses(404);
    assert_eq!(figures(&office.get(&yesterday).ok()), figures(&before), "yesterday is as it was");
    as_iris.get(&yesterday).refuses(404);

    // The desk's own system begins to send what it carries out: signed, and once however often it is sent.
    let firm = firm.connected(&portfolio);
    let fills = json!({ "id": "ticket-77", "fills": [
        { "time": today, "type": "sell", "symbol": "BOND", "quantity": "20", "price": "101", "id": "f6" },
    ] });
    let told = firm.delivers(&fills).has(201).json();
    assert_eq!(firm.delivers(&fills).has(200).json()["sequences"], told["sequences"]);
    let mut other = fills.clone();
    other["fills"][0]["quantity"] = "21".into();
    firm.delivers(&other).refuses(409);
    let as_couple = firm.person("client", &couple);
    assert_eq!(as_couple.get(&below("")).ok().json()["cash"]["USD"], "10018");
    as_couple.get(&below("/positions")).ok();

    // The auditor reads all of it, changes nothing, and recomputes it from the log alone.
    let auditor = firm.person("auditor", "kira");
    for path in &all {
        auditor.get(path).ok();
    }
    auditor.post(&below("/transactions"), &fill("f5", "1")).refuses(403);
    let told: Vec<(Vec<String>, Value)> = [
        vec!["--at-sequence".to_owned(), funded.to_string()],
        vec!["--at-sequence".to_owned(), mistaken_head.to_string()],
        vec!["--as-of".to_owned(), firm.day(2)],
        vec!["--as-of".to_owned(), firm.day(2), "--at-sequence".to_owned(), mistaken_head.to_string()],
        Vec::new(),
    ]
    .into_iter()
    .map(|arguments| {
        let query: Vec<String> = arguments
            .chunks(2)
            .map(|pair| format!("{}={}", pair[0].trim_start_matches("--").replace('-', "_"), pair[1]))
            .collect();
        let answer = auditor.get(&below(&format!("?{}", query.join("&")))).ok();
        (arguments, figures(&answer))
    })
    .collect();
    firm.service.stop();
    for (arguments, told) in told {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let replayed = firm.directory.statement(&portfolio, &arguments);
        let mut both = 0;
        for (name, value) in told.as_object().unwrap() {
            if let Some(replayed) = replayed.get(name) {
                both += 1;
                assert_eq!(replayed, value, "{name} with {arguments:?}");
            }
        }
        assert!(both > 15, "only {both} members are in both");
    }
    firm.directory.is_sound();
}
