//! The commands that change a health check which somebody made around a standalone network endpoint group.
//!
//! Enters: a backend that is a standalone group, and the fields to set, by their names in a BackendConfig. Leaves: steps of a mend.
//! Never: touches a health check of the controller's, which would put it back.

use serde_json::Value;

use crate::rules::text::{project_flag, quote, some_of};
use crate::snapshot::compute::location;
use crate::topology::{Backend, Topology, vpc};

/// The flag of `gcloud compute health-checks update` for a field.
fn flag(field: &str) -> Option<&'static str> {
    match field {
        "requestPath" => Some("--request-path"),
        "checkIntervalSec" => Some("--check-interval"),
        "timeoutSec" => Some("--timeout"),
        "port" => Some("--port"),
        _ => None,
    }
}

/// The health check, for a sentence.
pub fn place(backend: &Backend<'_>) -> String {
    match backend.health_check.as_ref().seen() {
        Some(check) => format!("health check {}", quote(&check.name)),
        None => "the health check of the backend service that uses the group".to_owned(),
    }
}

/// The steps that set `fields`, said and then done.
pub fn set(topology: &Topology<'_>, backend: &Backend<'_>, fields: &Value) -> Vec<String> {
    let fields = fields.as_object().into_iter().flatten();
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields: Vec<(&str, String)> = fields.map(|(field, value)| (&**field, plain(value))).collect();
    let words = fields.iter().map(|(field, value)| format!("{field} {value}"));
    let said = format!("set {} in {}", some_of(words, 8), place(backend));
    let flags: Option<Vec<String>> =
        fields.iter().map(|(field, value)| Some(format!("{}={}", flag(field)?, quote(value)))).collect();
    let (Some(check), Some(flags)) = (backend.health_check.as_ref().seen(), flags) else { return vec![said] };
    let scope = location(&check.self_link).map_or_else(|| "--global".to_owned(), |region| format!("--region={}", quote(region)));
    let update = format!(
        "gcloud compute health-checks update {} {} {scope}{} {}",
        quote(&check.type_.to_ascii_lowercase()),
        quote(&check.name),
        project_flag(topology),
        flags.join(" ")
    );
    vec![said, update]
}

/// The steps that make the backend services which use the group speak another protocol.
pub fn speak(topology: &Topology<'_>, backend: &Backend<'_>, protocol: &str) -> Vec<String> {
    let mut steps = vec![format!("make the backend service that uses the group, and its health check, speak {protocol}")];
    steps.extend(vpc::users(topology, backend).map(|(path, user)| {
        let scope = location(path).map_or_else(|| "--global".to_owned(), |region| format!("--region={}", quote(region)));
        format!(
            "gcloud compute backend-services update {} {scope}{} --protocol={protocol}",
            quote(&user.name),
            project_flag(topology)
        )
    }));
    steps
}
