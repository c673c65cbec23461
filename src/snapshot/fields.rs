//! The fields that a type decodes, and no others.
//!
//! Enters: JSON. Leaves: the same without what no rule reads. Never: changes what is left.

use serde::de::DeserializeOwned;
use serde_ignored::Path;
use serde_json::Value;

/// One step into a value.
enum Step {
    Key(String),
    Index(usize),
}

/// A value without the fields that `T` passes over; `None` when it is no `T`.
pub(super) fn known<T: DeserializeOwned>(value: &Value) -> Option<Value> {
    let mut ignored = Vec::new();
    serde_ignored::deserialize::<_, _, T>(value, |path| ignored.push(steps(&path))).ok()?;
    let mut known = value.clone();
    for steps in ignored {
        remove(&mut known, &steps);
    }
    Some(known)
}

fn steps(path: &Path<'_>) -> Vec<Step> {
    let (parent, step) = match path {
        Path::Root => return Vec::new(),
        Path::Seq { parent, index } => (parent, Some(Step::Index(*index))),
        Path::Map { parent, key } => (parent, Some(Step::Key(key.clone()))),
        Path::Some { parent } | Path::NewtypeStruct { parent } | Path::NewtypeVariant { parent } => (parent, None),
    };
    let mut steps = steps(parent);
    steps.extend(step);
    steps
}

fn remove(value: &mut Value, steps: &[Step]) {
    let Some((last, above)) = steps.split_last() else { return };
    let mut at = value;
    for step in above {
        let inner = match step {
            Step::Key(key) => at.get_mut(key),
            Step::Index(index) => at.get_mut(index),
        };
        let Some(inner) = inner else { return };
        at = inner;
    }
    match (last, at) {
        (Step::Key(key), Value::Object(map)) => drop(map.remove(key)),
        (Step::Index(index), Value::Array(items)) => {
            if let Some(item) = items.get_mut(*index) {
                *item = Value::Null;
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::snapshot::kubernetes::Pod;

    #[test]
    fn what_no_rule_reads_is_left_out() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "annotations": {"acme.com/note": "x", "cloud.google.com/neg": "y"}},
            "spec": {"containers": [{"name": "c", "image": "i", "env": [{"name": "PASSWORD", "value": "secret"}]}]},
        });
        let known = known::<Pod>(&pod).unwrap();
        assert_eq!(known["metadata"], json!({"name": "a", "annotations": {"cloud.google.com/neg": "y"}}));
        assert_eq!(known["spec"]["containers"], json!([{"name": "c", "image": "i"}]));
        assert_eq!(known.get("apiVersion"), None);
        assert!(super::known::<Pod>(&json!({"spec": 7})).is_none());
    }
}
