//! The dashboards of `config/grafana/`: Grafana takes them as they are, and they ask for nothing that the program does not export.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use ingress_diagnosis::publish::metrics::table::{Family, Kind, TABLE};
use serde_json::Value;

use crate::sources;

/// Grafana 10.3 and later; newer versions migrate it by themselves.
const SCHEMA: u64 = 39;

/// Panels that Grafana still has.
const PANELS: [&str; 6] = ["stat", "timeseries", "table", "state-timeline", "bargauge", "text"];

/// The values of the label of that name.
const VERDICTS: [&str; 5] = ["Broken", "Degraded", "Unknown", "Progressing", "Healthy"];

/// Labels that come from whoever scrapes.
const SCRAPED: [&str; 3] = ["cluster", "job", "instance"];

/// A dashboard.
pub struct Board {
    pub uid: String,
    pub json: Value,
}

/// A query of a panel.
pub struct Query {
    pub panel: String,
    pub expression: String,
    pub legend: String,
    /// Asked for now, or for a span of time.
    pub instant: bool,
}

/// Every dashboard by the name of its file.
pub fn boards() -> BTreeMap<String, Board> {
    let files = sources::files(&sources::root().join("config/grafana"));
    let boards = files.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    boards
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let json: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.file_name().unwrap().to_string_lossy().into_owned(), Board { uid: text_of(&json, "uid"), json })
        })
        .collect()
}

impl Board {
    pub fn panels(&self) -> &[Value] {
        self.json["panels"].as_array().unwrap()
    }

    pub fn queries(&self) -> Vec<Query> {
        let queries = self.panels().iter().flat_map(|panel| {
            let targets = panel["targets"].as_array().into_iter().flatten();
            targets.map(|target| Query {
                panel: text_of(panel, "title"),
                expression: text_of(target, "expr"),
                legend: text_of(target, "legendFormat"),
                instant: target["instant"] == true,
            })
        });
        queries.collect()
    }

    fn variables(&self) -> Vec<&Value> {
        self.json["templating"]["list"].as_array().unwrap().iter().collect()
    }

    /// The queries that fill the variables.
    pub fn variable_queries(&self) -> Vec<String> {
        self.variables()
            .iter()
            .filter(|variable| variable["type"] == "query")
            .map(|variable| text_of(&variable["query"], "query"))
            .collect()
    }
}

fn text_of(value: &Value, field: &str) -> String {
    value[field].as_str().unwrap_or_default().to_owned()
}

/// What a query names: metrics with the labels that select them, labels that it groups or joins by, functions left out.
#[derive(Debug, Default)]
pub struct Names {
    metrics: Vec<(String, Vec<String>)>,
    labels: Vec<String>,
}

impl Names {
    /// Reads PromQL as far as names go.
    pub fn of(expression: &str) -> Self {
        let text = without_strings(expression);
        let mut names = Self::default();
        let mut rest = text.as_str();
        while let Some(at) = rest.find(|c: char| c.is_ascii_alphabetic() || c == '_') {
            let before = rest[..at].chars().next_back();
            let end = rest[at..].find(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(rest.len(), |length| at + length);
            let (word, after) = (&rest[at..end], rest[end..].trim_start());
            rest = after;
            // A duration, a number or a variable.
            if before.is_some_and(|c| c.is_ascii_digit() || c == '$' || c == '[') {
                continue;
            }
            match word {
                "by" | "on" | "group_left" | "group_right" | "without" | "ignoring" => {
                    let inside = after.strip_prefix('(').and_then(|after| after.split_once(')'));
                    let (list, left) = inside.unwrap_or_default();
                    names.labels.extend(list.split(',').map(|label| label.trim().to_owned()).filter(|label| !label.is_empty()));
                    rest = if inside.is_some() { left } else { after };
                }
                "and" | "or" | "unless" | "bool" => {}
                function if after.starts_with('(') => {
                    assert!(!function.starts_with("ingress_diagnosis"), "{function} is no function")
                }
                aggregation if after.starts_with("by ") || after.starts_with("by(") => {
                    assert!(["sum", "max", "min", "count", "topk", "bottomk"].contains(&aggregation), "{aggregation}");
                }
                metric => {
                    let selector = after.strip_prefix('{').and_then(|after| after.split_once('}'));
                    let (inside, left) = selector.unwrap_or(("", after));
                    let labels = inside.split(',').map(|one| one.trim().trim_end_matches(['=', '!', '~']).to_owned());
                    names.metrics.push((metric.to_owned(), labels.filter(|label| !label.is_empty()).collect()));
                    rest = left;
                }
            }
        }
        names
    }

    /// What of it the program does not export.
    pub fn unknown(&self) -> Vec<String> {
        let mut unknown = Vec::new();
        let mut of_all: BTreeSet<&str> = SCRAPED.into_iter().collect();
        for (metric, selected) in &self.metrics {
            let Some((family, labels)) = exported(metric) else {
                unknown.push(format!("metric {metric}"));
                continue;
            };
            let odd = selected.iter().filter(|label| !labels.contains(&label.as_str()) && !SCRAPED.contains(&label.as_str()));
            unknown.extend(odd.map(|label| format!("label {label} of {}", family.name)));
            of_all.extend(labels);
        }
        unknown.extend(self.labels.iter().filter(|label| !of_all.contains(label.as_str())).map(|label| format!("label {label}")));
        unknown
    }
}

/// The family of a series, and the labels that the series has.
fn exported(metric: &str) -> Option<(&'static Family, Vec<&'static str>)> {
    TABLE.iter().find_map(|family| {
        let suffix = metric.strip_prefix(family.name)?;
        let labels = family.labels.iter().copied();
        match (family.kind, suffix) {
            (Kind::Gauge | Kind::Counter, "") | (Kind::Histogram, "_sum" | "_count") => Some((*family, labels.collect())),
            (Kind::Histogram, "_bucket") => Some((*family, labels.chain(["le"]).collect())),
            _ => None,
        }
    })
}

/// The same with nothing between quotes.
fn without_strings(expression: &str) -> String {
    let parts = expression.split('"').enumerate();
    parts.filter(|(at, _)| at % 2 == 0).map(|(_, part)| part).collect()
}

/// The names between `{{` and `}}`.
fn in_legend(legend: &str) -> Vec<String> {
    legend.split("{{").skip(1).filter_map(|part| Some(part.split_once("}}")?.0.trim().to_owned())).collect()
}

/// The variables in a text: `$name`, `${name}` and `${name:form}`; Grafana's own begin with two underscores.
fn variables_in(text: &str) -> BTreeSet<String> {
    let names = text.split('$').skip(1).map(|part| {
        let part = part.strip_prefix('{').unwrap_or(part);
        part.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap_or_default().to_owned()
    });
    names.filter(|name| !name.is_empty() && !name.starts_with("__")).collect()
}

#[test]
fn names_in_queries_are_found() {
    let names = Names::of(
        r#"60 * sum by (code) (rate(ingress_diagnosis_x_total{cluster=~"$cluster", code!~"2.."}[$__rate_interval])) or process_y"#,
    );
    let selected = vec!["cluster".to_owned(), "code".to_owned()];
    assert_eq!(names.metrics, [("ingress_diagnosis_x_total".to_owned(), selected), ("process_y".to_owned(), Vec::new())]);
    assert_eq!(names.labels, ["code"]);
    assert_eq!(names.unknown(), ["metric ingress_diagnosis_x_total", "metric process_y", "label code"]);
    assert_eq!(Names::of(r#"max by (le) (ingress_diagnosis_leader{role="a"})"#).unknown().len(), 2);
}

#[test]
fn every_query_names_what_the_program_exports() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for (file, board) in boards() {
        let variables: BTreeSet<String> = board.variables().iter().map(|variable| text_of(variable, "name")).collect();
        for query in board.queries() {
            count += 1;
            let names = Names::of(&query.expression);
            let mut odd = names.unknown();
            let known: BTreeSet<&str> = names.labels.iter().map(String::as_str).chain(SCRAPED).collect();
            odd.extend(in_legend(&query.legend).into_iter().filter(|label| !known.contains(label.as_str())));
            odd.extend(variables_in(&query.expression).difference(&variables).cloned());
            wrong.extend(odd.into_iter().map(|what| format!("{file}: {:?}: {what}", query.panel)));
        }
        for query in board.variable_queries() {
            let (selector, label) =
                query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')?.rsplit_once(", ")).unwrap();
            let mut names = Names::of(selector);
            names.labels.push(label.to_owned());
            wrong.extend(names.unknown().into_iter().map(|what| format!("{file}: {query}: {what}")));
            wrong.extend(variables_in(&query).difference(&variables).map(|name| format!("{file}: {query}: ${name}")));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    println!("{count} queries");
}

#[test]
fn grafana_takes_every_dashboard() {
    let boards = boards();
    let uids: BTreeSet<&str> = boards.values().map(|board| board.uid.as_str()).collect();
    assert_eq!(uids.len(), boards.len(), "each has an address of its own");
    for (file, board) in &boards {
        let json = &board.json;
        assert_eq!(json["schemaVersion"], SCHEMA, "{file}");
        assert!(json["title"].is_string() && !board.uid.is_empty() && board.uid.len() <= 40, "{file}");
        assert!(json.get("__inputs").is_none() && json.get("id").is_none(), "{file}: it is no export of one Grafana");
        let ids: BTreeSet<u64> = board.panels().iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), board.panels().len(), "{file}: panels have ids of their own");
        for panel in board.panels() {
            well_formed(file, panel);
        }
        no_panel_covers_another(file, board.panels());
        // A link leads to a dashboard that is there, and fills variables that it has.
        let text = json.to_string();
        for link in text.split("\"/d/").skip(1) {
            let (uid, parameters) = link.split_once('?').unwrap();
            let target = boards.values().find(|board| board.uid == uid).unwrap_or_else(|| panic!("{file}: {uid} is nowhere"));
            let known: BTreeSet<String> = target.variables().iter().map(|variable| text_of(variable, "name")).collect();
            let given =
                parameters.split('"').next().unwrap().split('&').filter_map(|one| one.strip_prefix("var-")?.split('=').next());
            given.for_each(|name| assert!(known.contains(name), "{file}: {uid} has no variable {name}"));
        }
    }
}

fn well_formed(file: &str, panel: &Value) {
    let title = text_of(panel, "title");
    let place = format!("{file}: {title:?}");
    assert!(!title.is_empty() && text_of(panel, "description").len() > 20, "{place}: says what it shows");
    let kind = text_of(panel, "type");
    assert!(PANELS.contains(&kind.as_str()), "{place}: {kind} is no panel of today's Grafana");
    if kind == "text" {
        return;
    }
    assert_eq!(panel["datasource"]["uid"], "${datasource}", "{place}");
    let defaults = &panel["fieldConfig"]["defaults"];
    assert!(defaults["unit"].is_string() && defaults["noValue"].is_string(), "{place}: has a unit, and words for no data");
    let references: Vec<String> = panel["targets"].as_array().unwrap().iter().map(|target| text_of(target, "refId")).collect();
    assert!(!references.is_empty() && references.iter().collect::<BTreeSet<_>>().len() == references.len(), "{place}");
    if kind == "table" {
        assert_eq!(panel["targets"][0]["format"], "table", "{place}");
    }
    let over_time = matches!(&*kind, "timeseries" | "state-timeline");
    assert!(panel["targets"].as_array().unwrap().iter().all(|target| (target["instant"] == true) != over_time), "{place}");
}

/// Links, transformations and overrides name columns by their labels, before or after they were renamed.
#[test]
fn what_panels_name_is_in_their_queries() {
    let mut wrong = Vec::new();
    for (file, board) in boards() {
        for panel in board.panels() {
            let targets = || panel["targets"].as_array().into_iter().flatten();
            let mut columns: BTreeSet<String> = targets().flat_map(|target| Names::of(&text_of(target, "expr")).labels).collect();
            let text = panel.to_string();
            let linked = ["__data.fields.", "__field.labels."].into_iter().flat_map(|form| text.split(form).skip(1));
            let linked: Vec<&str> = linked.map(|rest| rest.split('}').next().unwrap_or_default()).collect();
            wrong.extend(
                linked
                    .iter()
                    .filter(|name| !columns.contains(**name))
                    .map(|name| format!("{file}: {}: link to {name}", panel["title"])),
            );
            columns.extend(["Time", "Value"].map(str::to_owned));
            let mut renamed = columns.clone();
            for organize in panel["transformations"].as_array().into_iter().flatten().filter(|one| one["id"] == "organize") {
                for part in ["excludeByName", "renameByName", "indexByName"] {
                    let named = organize["options"][part].as_object().into_iter().flatten();
                    for (name, to) in named {
                        if !columns.contains(name) {
                            wrong.push(format!("{file}: {}: {part} {name}", panel["title"]));
                        }
                        if let (true, Some(to)) = (part == "renameByName", to.as_str()) {
                            renamed.remove(name);
                            renamed.insert(to.to_owned());
                        }
                    }
                }
            }
            renamed.extend(targets().map(|target| text_of(target, "legendFormat")));
            // A legend that is a label alone takes that label's values.
            renamed.extend(VERDICTS.map(str::to_owned));
            for one in
                panel["fieldConfig"]["overrides"].as_array().into_iter().flatten().filter(|one| one["matcher"]["id"] == "byName")
            {
                if !renamed.contains(one["matcher"]["options"].as_str().unwrap()) {
                    wrong.push(format!("{file}: {}: override of {}", panel["title"], one["matcher"]["options"]));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn no_panel_covers_another(file: &str, panels: &[Value]) {
    let mut taken = BTreeSet::new();
    for panel in panels {
        let at = |field: &str| panel["gridPos"][field].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{file}: {}", panel["title"]);
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{file}: {} covers another panel", panel["title"]);
            }
        }
    }
}

/// What the sidecar finds is what `config/grafana/` holds.
#[test]
fn the_config_map_holds_every_dashboard() {
    let text = std::fs::read_to_string(sources::root().join("config/grafana/kustomization.yaml")).unwrap();
    let component: Value = testbed::world::objects(&text).unwrap().remove(0);
    let named: BTreeSet<String> = serde_json::from_value(component["configMapGenerator"][0]["files"].clone()).unwrap();
    assert_eq!(named, boards().into_keys().collect());
    let folder = "manifests/components/grafana";
    let Ok(output) = Command::new("kubectl").args(["kustomize", folder]).current_dir(sources::root()).output() else {
        eprintln!("kubectl is not here: `kubectl kustomize {folder}` is not tried");
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let built = testbed::world::objects(&String::from_utf8(output.stdout).unwrap()).unwrap();
    assert_eq!(built.len(), 1);
    assert_eq!(built[0]["metadata"]["labels"]["grafana_dashboard"], "1");
    for (file, board) in boards() {
        let held: Value = serde_json::from_str(built[0]["data"][&file].as_str().unwrap()).unwrap();
        assert_eq!(held, board.json, "{file}");
    }
}
