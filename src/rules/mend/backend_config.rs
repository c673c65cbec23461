//! The commands that change what a health check asks: a BackendConfig of the Service; for a standalone group, whose health check is its
//! user's own, those of [`user_check`].
//!
//! Enters: a backend and the fields to set. Leaves: steps of a mend. Never: leaves out what the Service's annotation says already.

use serde_json::{Value, json};

use super::user_check;
use crate::rules::text::{annotate, patch, quote, some_of};
use crate::topology::annotations::{self, keys};
use crate::topology::health_check::passing_path;
use crate::topology::questions::Question;
use crate::topology::{Backend, Role, Topology};

/// The steps that set `fields` of `spec.healthCheck`, said and then done: a patch of the BackendConfig that the Service names, else a
/// new one.
pub fn set(topology: &Topology<'_>, backend: &Backend<'_>, fields: &Value) -> Vec<String> {
    if backend.role == Role::Standalone {
        return user_check::set(topology, backend, fields);
    }
    let words = fields.as_object().into_iter().flatten().map(|(field, value)| match value {
        Value::String(text) => format!("{field} {text}"),
        value => format!("{field} {value}"),
    });
    let said = format!("set {} of spec.healthCheck in {}", some_of(words, 8), place(backend));
    let named = named(backend);
    if let Some(name) = &named
        && !backend.backend_config.is_absent()
    {
        return vec![said, patch(backend.namespace, "backendconfig", name, &json!({"spec": {"healthCheck": fields}}))];
    }
    let name = named.clone().unwrap_or_else(|| free_name(topology, backend));
    let metadata = json!({"name": name, "namespace": backend.namespace});
    let spec = json!({"healthCheck": fields});
    let make = format!(
        "kubectl apply -f - <<'EOF'\napiVersion: cloud.google.com/v1\nkind: BackendConfig\nmetadata: {metadata}\nspec: {spec}\nEOF"
    );
    if named.is_some() {
        return vec![said, make];
    }
    let (key, value) = annotation(backend, &name);
    vec![said, make, annotate(backend.namespace, "service", backend.service_name, key, &value)]
}

/// The steps that make the health check ask another path: the one that the kubelet gets its answer from, where it asks the same port.
pub fn ask_elsewhere(topology: &Topology<'_>, backend: &Backend<'_>, question: &Question<'_>) -> Vec<String> {
    match passing_path(question) {
        Some(path) => set(topology, backend, &json!({"requestPath": path})),
        None => vec![format!("set {} to a path that answers 200", field(backend, "requestPath"))],
    }
}

/// A field and where it is set, for a sentence.
pub fn field(backend: &Backend<'_>, field: &str) -> String {
    let spec = if backend.role == Role::Standalone { "" } else { "spec.healthCheck." };
    format!("{spec}{field} in {}", place(backend))
}

/// Where the fields are set, for a sentence.
pub fn place(backend: &Backend<'_>) -> String {
    if backend.role == Role::Standalone {
        return user_check::place(backend);
    }
    match named(backend) {
        Some(name) => format!("BackendConfig {}", quote(&name)),
        None => format!("a BackendConfig that Service {} names in its annotation {}", backend.service_name, keys::BACKEND_CONFIG),
    }
}

/// The BackendConfig that the annotation names for the port.
fn named(backend: &Backend<'_>) -> Option<String> {
    let port = backend.port?;
    let (_, annotation) = annotations::backend_config(backend.service.as_ref().seen()?)?;
    annotation.ok()?.for_port(&port.name, port.port).map(str::to_owned)
}

/// A name that no BackendConfig of the namespace has.
fn free_name(topology: &Topology<'_>, backend: &Backend<'_>) -> String {
    let taken = |name: &str| topology.snapshot.kubernetes.backend_configs.get(backend.namespace, name).seen().is_some();
    let name = backend.service_name.to_owned();
    if taken(&name) { format!("{name}-health-check") } else { name }
}

/// The annotation with the BackendConfig for this port, and everything else as it is.
fn annotation(backend: &Backend<'_>, name: &str) -> (&'static str, String) {
    let present = backend.service.as_ref().seen().and_then(|service| {
        let key = annotations::backend_config(service)?.0;
        let value: Value = serde_json::from_str(service.metadata.annotation(key)?).ok()?;
        value.is_object().then_some((key, value))
    });
    match (present, backend.port) {
        (Some((key, mut value)), Some(port)) => {
            let port = if port.name.is_empty() { port.port.to_string() } else { port.name.to_string() };
            if !value["ports"].is_object() {
                value["ports"] = json!({});
            }
            value["ports"][port] = name.into();
            (key, value.to_string())
        }
        _ => (keys::BACKEND_CONFIG, json!({"default": name}).to_string()),
    }
}
