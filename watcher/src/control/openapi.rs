//! The description of the API, made from the routes and the types of the answers, and held against the file that is
//! served.

use std::borrow::Cow;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema, json_schema};
use serde_json::{Map, Value, json};

use crate::control::api::{
    AllowRequest, Allows, AskedList, BanRequest, Bans, ExplainRequest, Explained, Histories, HistoryQuery,
    JailList, ListQuery, Message, News, Quotas, Status, SubjectsRequest, Tested, UnbanRequest, Why,
};
use crate::control::{read, routes};
use crate::subject::{Network, Subject};

impl JsonSchema for Subject {
    fn schema_name() -> Cow<'static, str> {
        "Subject".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "An address, a network, or `user:NAME`."})
    }
}

impl JsonSchema for Network {
    fn schema_name() -> Cow<'static, str> {
        "Network".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "An address or a network."})
    }
}

struct Description {
    /// What is sent to us may leave out what has a default; what we send has it all.
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Description {
    fn new() -> Self {
        let settings = SchemaSettings::openapi3;
        Description {
            requests: settings().for_deserialize().into_generator(),
            answers: settings().for_serialize().into_generator(),
        }
    }

    fn answer<T: JsonSchema>(&mut self, what: &str) -> Value {
        let schema = self.answers.subschema_for::<T>();
        let refusal = self.answers.subschema_for::<Message>();
        json!({
            "200": {"description": what, "content": {"application/json": {"schema": schema}}},
            "default": {"description": "Why not.", "content": {"application/json": {"schema": refusal}}},
        })
    }

    fn get<T: JsonSchema>(&mut self, summary: &str, parameters: &[Value]) -> Value {
        json!({"summary": summary, "parameters": parameters, "responses": self.answer::<T>(summary)})
    }

    fn post<R: JsonSchema, T: JsonSchema>(&mut self, summary: &str) -> Value {
        let schema = self.requests.subschema_for::<R>();
        let body = json!({"required": true, "content": {"application/json": {"schema": schema}}});
        json!({"summary": summary, "requestBody": body, "responses": self.answer::<T>(summary)})
    }

    /// The keys of a query, each a parameter.
    fn query<Q: JsonSchema>(&mut self) -> Vec<Value> {
        let schema = self.requests.root_schema_for::<Q>().to_value();
        let keys = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let parameter = |(name, schema): (String, Value)| {
            let description = schema.get("description").cloned();
            json!({"name": name, "in": "query", "required": false, "description": description, "schema": schema})
        };
        keys.into_iter().map(parameter).collect()
    }

    fn finish(mut self, paths: &Map<String, Value>) -> Value {
        let mut schemas = self.answers.take_definitions(true);
        schemas.extend(self.requests.take_definitions(true));
        json!({
            "openapi": "3.0.3",
            "info": {
                "title": "postern-watcher",
                "version": "1",
                "description": "Over the Unix socket for root and the group postern; what is asked by GET also on the \
                                port. Keys are added, never changed. Every refusal is a Message.",
            },
            "paths": paths,
            "components": {"schemas": schemas},
        })
    }
}

fn in_path(name: &str, what: &str) -> Vec<Value> {
    vec![
        json!({"name": name, "in": "path", "required": true, "description": what, "schema": {"type": "string"}}),
    ]
}

fn text(summary: &str, kind: &str) -> Value {
    let schema = json!({"type": "string"});
    let content = json!({kind: {"schema": schema}});
    json!({"summary": summary, "parameters": [], "responses": {"200": {"description": summary, "content": content}}})
}

/// What each path does; none for one that nobody has described.
fn operation(d: &mut Description, method: &str, path: &str) -> Option<Value> {
    let subject =
        || in_path("subject", "An address, a network, or `user:NAME`; slashes may stand as they are.");
    Some(match (method, path) {
        ("get", "/v1/status") => d.get::<Status>("How the watcher stands.", &[]),
        ("get", "/v1/bans") => {
            let query = d.query::<ListQuery>();
            d.get::<Bans>("Who is banned; a page where `limit` is given.", &query)
        }
        ("get", "/v1/bans/{*subject}") => {
            d.get::<Why>("Why somebody is banned, and how far from it.", &subject())
        }
        ("get", "/v1/history") => {
            let query = d.query::<HistoryQuery>();
            d.get::<Histories>("The record of bans, the newest first.", &query)
        }
        ("get", "/v1/history/{*subject}") => {
            let parameters = [subject(), d.query::<HistoryQuery>()].concat();
            d.get::<Histories>(
                "The record of bans on one subject, and on networks around it and inside.",
                &parameters,
            )
        }
        ("get", "/v1/test/{address}") => {
            let address = in_path("address", "An address.");
            d.get::<Tested>("Whether the firewall drops what comes from an address.", &address)
        }
        ("get", "/v1/allow") => d.get::<Allows>("The exemptions by hand.", &[]),
        ("get", "/v1/asked") => d.get::<AskedList>("Bans that wait for the administrator's word.", &[]),
        ("get", "/v1/quota") => d.get::<Quotas>("The budgets of DNS blocklists.", &[]),
        ("get", "/v1/jails") => d.get::<JailList>("The jails in use.", &[]),
        ("get", "/v1/events") => {
            let summary = "What happens, as server-sent events: the name of each is its `kind`, its data a News. A \
                           client that reads too slowly is sent `dropped`, and the end.";
            let mut events = text(summary, "text/event-stream");
            let news = d.answers.subschema_for::<News>();
            events["responses"]["200"]["content"]["text/event-stream"]["schema"] = news.to_value();
            events
        }
        ("get", "/v1/openapi.json") => text("This description.", "application/json"),
        ("get", "/metrics") => text("Metrics for Prometheus.", "text/plain"),
        ("get", "/healthz") => text("200 while all bans are in force, 503 while not.", "text/plain"),
        ("post", "/v1/bans") => d.post::<BanRequest, Bans>("Bans; `refused` says who was not, and why."),
        ("post", "/v1/unban") => d.post::<UnbanRequest, Bans>("Lifts bans, and forgets what was counted."),
        ("post", "/v1/allow") => d.post::<AllowRequest, Allows>("Exempts, and lifts the bans that stand."),
        ("post", "/v1/disallow") => d.post::<SubjectsRequest, Allows>("Takes exemptions back."),
        ("post", "/v1/confirm") => {
            d.post::<SubjectsRequest, Bans>("Makes or drops bans that wait for a word.")
        }
        ("post", "/v1/explain") => {
            d.post::<ExplainRequest, Explained>("What an event would be to every jail.")
        }
        ("post", "/v1/reload") => {
            let responses = d.answer::<Message>("The configuration was taken over.");
            json!({"summary": "Reads the configuration again.", "responses": responses})
        }
        _ => return None,
    })
}

fn description() -> Value {
    let mut description = Description::new();
    let mut paths = Map::new();
    for (method, path) in routes::all() {
        let operation = operation(&mut description, method, path);
        let operation = operation.unwrap_or_else(|| panic!("{method} {path} is described nowhere"));
        let entry = paths.entry(path.replace("{*", "{")).or_insert_with(|| json!({}));
        entry[method] = operation;
    }
    description.finish(&paths)
}

#[test]
fn the_description_has_every_path_and_every_field_of_the_server() {
    let made = format!("{:#}\n", description());
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/src/control/openapi.json"), &made).unwrap();
    } else {
        assert_eq!(read::OPENAPI, made, "UPDATE_EXPECT=1 writes it anew");
    }
}
