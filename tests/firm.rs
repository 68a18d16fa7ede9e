//! The firm on the command line: advisors, clients and who serves them, at the directory and through a service.

use crate::support::{Directory, Service};
use serde_json::{Value, json};
use std::fs;

/// An advisor, a client of theirs, and the client's portfolio.
fn house(directory: &Directory) -> [String; 3] {
    let run = |arguments: &[&str]| directory.run(arguments).ok().line().to_owned();
    let advisor = run(&["advisor", "add", "Iris Vale", "--licence", "L-7", "--from", "2024-01-01"]);
    let client = [
        "client",
        "add",
        "Ann Lind",
        "--tax-country",
        "se",
        "--email",
        "ann@example.org",
        "--on",
        "2024-02-01",
        "--advisor",
        &advisor,
    ];
    let client = run(&client);
    let portfolio = run(&["portfolio", "open", "Hers", "--client", &client]);
    [advisor, client, portfolio]
}

#[test]
fn advisors_and_clients_are_added_by_name_and_their_ids_stand_alone_on_a_line() {
    let directory = Directory::new();
    let [advisor, client, portfolio] = house(&directory);
    for id in [&advisor, &client, &portfolio] {
        assert_eq!(id.len(), 26);
    }
    let advisors = directory.run(&["advisor", "list", "--format", "json"]).ok().json();
    let item =
        json!({ "id": advisor, "name": "Iris Vale", "licence": "L-7", "from": "2024-01-01", "until": null });
    assert_eq!(advisors, json!({ "items": [item], "next": null }));
    let clients = directory.run(&["client", "list", "--format", "json"]).ok().json();
    let listed = &clients["items"][0];
    assert_eq!((&listed["party"], &listed["portfolios"]), (&json!(client), &json!([portfolio])));
    assert_eq!(listed["advisors"][0]["advisor"], advisor);
    directory.run(&["client", "list"]).ok().says(&[]);
    let text = directory.run(&["client", "list"]).ok().stdout;
    assert!(text.contains("Ann Lind") && text.contains("Iris Vale"), "{text}");
    directory.is_sound();
}

#[test]
fn what_is_asked_of_the_firm_wrongly_names_the_option_and_records_nothing() {
    let directory = Directory::new();
    let [advisor, client, _] = house(&directory);
    let head = directory.head();
    let nobody = "00000000000000000000000001";
    directory.run(&["advisor", "add", ""]).refuses(&["name"]);
    directory.run(&["advisor", "add", "A", "--from", "soon"]).refuses(&["from", "soon"]);
    directory
        .run(&["client", "add", "A", "--kind", "robot"])
        .refuses(&["kind", "person, joint, trust, entity"]);
    directory
        .run(&["client", "add", "A", "--kind", "joint", "--member", &client])
        .refuses(&["members", "two persons"]);
    directory.run(&["client", "add", "A", "--tax-country", "ZZ"]).refuses(&["tax_country", "ISO 3166"]);
    directory.run(&["client", "add", "A", "--advisor", nobody]).refuses(&["advisor", nobody]);
    directory.run(&["client", "assign", &client]).refuses(&["--to"]);
    directory.run(&["client", "assign", &client, "--to", nobody]).refuses(&["advisor", nobody]);
    directory.run(&["client", "assign", nobody, "--to", &advisor]).refuses(&["party", nobody]);
    directory
        .run(&["client", "assign", &client, "--to", &advisor, "--role", "boss"])
        .refuses(&["lead, support, deputy"]);
    directory.run(&["portfolio", "open", "A", "--client", nobody]).refuses(&["party", nobody]);
    directory.run(&["portfolio", "open", "A", "--client", "ann"]).refuses(&["client", "26 letters"]);
    assert_eq!(directory.head(), head);
}

#[test]
fn the_firm_through_a_service_is_the_one_at_the_directory() {
    let directory = Directory::new();
    let [advisor, client, _] = house(&directory);
    let before: Vec<Value> = ["advisor", "client"]
        .map(|what| directory.run(&[what, "list", "--format", "json"]).ok().json())
        .to_vec();
    let service = Service::start(&directory);
    let (url, token) = (service.url.clone(), service.token.clone());
    let through = |arguments: &[&str]| directory.run_through(&url, &token, arguments);
    for (what, listed) in ["advisor", "client"].iter().zip(&before) {
        assert_eq!(through(&[*what, "list", "--format", "json"]).ok().json(), *listed, "{what}");
    }
    let other =
        through(&["advisor", "add", "Tomas Rune", "--email", "tomas@example.org"]).ok().line().to_owned();
    let trust = ["client", "add", "The Trust", "--kind", "trust", "--member", &client, "--advisor", &advisor];
    let trust = through(&trust).ok().line().to_owned();
    let sequence = through(&["client", "assign", &trust, "--to", &other]).ok().line().to_owned();
    assert!(sequence.parse::<u64>().is_ok(), "{sequence}");
    through(&["client", "assign", &trust, "--to", &other, "--until", "2020-01-01"]).refuses(&["until"]);
    through(&["portfolio", "open", "Theirs", "--client", &trust]).ok();
    let listed = through(&["client", "list", "--format", "json"]).ok().json();
    service.stop();
    assert_eq!(directory.run(&["client", "list", "--format", "json"]).ok().json(), listed);
    assert_eq!(listed["items"][1]["advisors"][0]["name"], "Tomas Rune");
    directory.is_sound();
}

#[test]
fn whose_key_is_erased_has_no_name_any_more_and_is_served_all_the_same() {
    let directory = Directory::new();
    let [advisor, client, portfolio] = house(&directory);
    let keys = directory.data().join("keys");
    let kept = fs::read_to_string(&keys).unwrap();
    let erased: String =
        kept.lines().filter(|line| !line.contains(&client)).map(|line| format!("{line}\n")).collect();
    assert_ne!(kept, erased);
    fs::write(&keys, erased).unwrap();
    let clients = directory.run(&["client", "list", "--format", "json"]).ok().json();
    let listed = &clients["items"][0];
    assert_eq!((&listed["name"], &listed["advisors"][0]["name"]), (&Value::Null, &json!("Iris Vale")));
    let service = Service::start(&directory);
    let read = |path: &str| service.client().get(path).ok().json();
    let party = read(&format!("/v1/parties/{client}"));
    assert_eq!((party.get("name"), party.get("contact"), &party["tax_country"]), (None, None, &json!("SE")));
    let detail = read(&format!("/v1/clients/{client}"));
    assert_eq!(detail["portfolios"], json!([{ "portfolio": portfolio, "share": "1" }]));
    let history = read(&format!("/v1/parties/{client}/history"));
    assert_eq!(history["items"][0]["fact"].get("name"), None);
    assert_eq!(read(&format!("/v1/advisors/{advisor}"))["clients"], json!([{ "party": client }]));
    service.stop();
    directory.is_sound();
}
