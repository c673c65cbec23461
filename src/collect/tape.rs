//! What the servers said, verbatim, for whoever records it.
//!
//! Enters: objects and resources as JSON, on their way into the world. Leaves: the parts of a [`Recording`]. Never: holds a Secret, which
//! nobody asks for; holds `managedFields`, which say nothing about the object.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;
use serde_json::Value;

use super::guard;
use crate::snapshot::kubernetes::Kind;
use crate::snapshot::recording::{RecordedCompute, Recording};

/// Takes everything down that is read. Clones write on the same tape.
#[derive(Debug, Clone, Default)]
pub struct Tape(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    /// By kind, namespace and name: a list that is begun again does not bring an object twice.
    kubernetes: BTreeMap<(&'static str, String, String), Value>,
    compute: RecordedCompute,
    cluster: Option<Value>,
}

impl Tape {
    /// A model of the SDK in the form in which it came: numbers as short as they were.
    pub(super) fn as_sent(model: &impl Serialize) -> Option<Value> {
        // Through text, because that alone writes 0.8 for the single precision's 0.8.
        let mut value = serde_json::from_str(&serde_json::to_string(model).ok()?).ok()?;
        shorten(&mut value);
        Some(value)
    }

    /// Takes an object down, as a list of its kind holds it.
    pub(super) fn object<T: Kind>(&self, mut object: Value) {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        let key = (T::KIND, text("namespace"), text("name"));
        if let Some(fields) = object.as_object_mut() {
            // The items of a list say neither: the list does.
            fields.insert("kind".to_owned(), T::KIND.into());
            fields.entry("apiVersion").or_insert_with(|| T::api_version().into());
            if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
                metadata.remove("managedFields");
            }
        }
        self.taken().kubernetes.insert(key, object);
    }

    /// Takes a Compute resource down, by its path.
    pub(super) fn resource(&self, path: &str, resource: Value) {
        self.taken().compute.resources.insert(path.to_owned(), resource);
    }

    /// Takes a page of a group's endpoints down; the first one begins anew.
    pub(super) fn endpoints(&self, group: &str, first: bool, endpoints: impl Iterator<Item = Value>) {
        let mut taken = self.taken();
        let held = taken.compute.endpoints.entry(group.to_owned()).or_default();
        if first {
            held.clear();
        }
        held.extend(endpoints);
    }

    /// Takes down what `getHealth` said of a group.
    pub(super) fn health(&self, backend_service: &str, group: &str, health: Vec<Value>) {
        self.taken().compute.health.entry(backend_service.to_owned()).or_default().insert(group.to_owned(), health);
    }

    /// Takes the Container API's answer down.
    pub(super) fn cluster(&self, cluster: Value) {
        self.taken().cluster = Some(cluster);
    }

    /// Puts what was taken down into a recording.
    pub fn give(&self, recording: &mut Recording) {
        let taken = std::mem::take(&mut *self.taken());
        recording.kubernetes = taken.kubernetes.into_values().collect();
        recording.compute = Some(taken.compute);
        recording.cluster = taken.cluster;
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        guard(&self.0)
    }
}

/// `1` in the place of `1.0`, as Google writes it.
fn shorten(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0 && float.abs() < 1e15);
            if let Some(whole) = whole.and_then(|whole| format!("{whole:.0}").parse::<i64>().ok()) {
                *number = whole.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(shorten),
        Value::Object(fields) => fields.values_mut().for_each(shorten),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Tape, Value};

    #[test]
    fn numbers_are_as_short_as_they_came() {
        #[derive(serde::Serialize)]
        struct Model {
            scaler: f32,
            rate: f64,
            id: String,
        }
        let taken = |scaler, rate| Tape::as_sent(&Model { scaler, rate, id: "1689639516287080922".to_owned() });
        let sent = |scaler: Value, rate: Value| Some(json!({"scaler": scaler, "rate": rate, "id": "1689639516287080922"}));
        assert_eq!(taken(0.8, 1.0), sent(json!(0.8), json!(1)));
        assert_eq!(taken(1.0, 2.5), sent(json!(1), json!(2.5)));
    }
}
