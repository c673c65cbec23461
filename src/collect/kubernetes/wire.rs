//! What `kube` needs to list and watch our slim types.
//!
//! Enters: JSON of the API server. Leaves: a slim object, or the name of one that could not be decoded and what is wrong with it.
//! Never: fails a whole list because of one object, when it is told to be careful; keeps more metadata than a watch needs.

use std::borrow::Cow;

use kube::api::ObjectMeta;
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::snapshot::kubernetes::Kind;

/// A slim object on its way from the API server.
///
/// `CAREFUL` decodes through an untyped value, which costs several times the time and memory for a moment but survives any object.
#[derive(Debug, Clone)]
pub(super) struct Wire<T, const CAREFUL: bool> {
    metadata: ObjectMeta,
    pub(super) object: Result<T, String>,
}

impl<T, const CAREFUL: bool> Wire<T, CAREFUL> {
    /// Namespace and name; the namespace of a cluster-scoped object is empty.
    pub(super) fn key(&self) -> (Box<str>, Box<str>) {
        let text = |field: &Option<String>| field.as_deref().unwrap_or_default().into();
        (text(&self.metadata.namespace), text(&self.metadata.name))
    }
}

impl<'de, T: Kind, const CAREFUL: bool> Deserialize<'de> for Wire<T, CAREFUL> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if CAREFUL {
            return Ok(Self::from_value(&Value::deserialize(deserializer)?));
        }
        let mut object = T::deserialize(deserializer)?;
        let meta = object.meta_mut();
        // The watch alone needs the version, and two versions that differ in nothing else are the same to a diagnosis.
        let version = std::mem::take(&mut meta.resource_version);
        let metadata = metadata(&meta.namespace, &meta.name, &meta.uid, &version);
        Ok(Self { metadata, object: Ok(object) })
    }
}

impl<T: Kind, const CAREFUL: bool> Wire<T, CAREFUL> {
    fn from_value(value: &Value) -> Self {
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let metadata = metadata(
            text("/metadata/namespace"),
            text("/metadata/name"),
            text("/metadata/uid"),
            text("/metadata/resourceVersion"),
        );
        let object = T::deserialize(value).map_err(|error| error.to_string()).map(|mut object| {
            object.meta_mut().resource_version = "".into();
            object
        });
        Self { metadata, object }
    }
}

fn metadata(namespace: &str, name: &str, uid: &str, version: &str) -> ObjectMeta {
    let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    ObjectMeta {
        namespace: some(namespace),
        name: some(name),
        uid: some(uid),
        resource_version: some(version),
        ..ObjectMeta::default()
    }
}

impl<T: Kind, const CAREFUL: bool> kube::Resource for Wire<T, CAREFUL> {
    type DynamicType = ();
    type Scope = DynamicResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        T::KIND.into()
    }

    fn group((): &()) -> Cow<'_, str> {
        T::GROUP.into()
    }

    fn version((): &()) -> Cow<'_, str> {
        T::VERSION.into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        T::PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::Wire;
    use crate::snapshot::kubernetes::{BackendConfig, Kind, Pod};

    #[test]
    fn a_list_survives_a_malformed_object() {
        let list = r#"[{"metadata": {"namespace": "a", "name": "good"}, "spec": {}},
                       {"metadata": {"namespace": "a", "name": "bad", "resourceVersion": "7"}, "spec": {"healthCheck": 3}}]"#;
        let objects: Vec<Wire<BackendConfig, true>> = serde_json::from_str(list).expect("a list");
        assert!(objects[0].object.is_ok());
        assert_eq!(objects[1].key(), ("a".into(), "bad".into()));
        assert_eq!(kube::Resource::meta(&objects[1]).resource_version.as_deref(), Some("7"));
        assert!(objects[1].object.as_ref().is_err_and(|message| message.contains("integer")), "{:?}", objects[1].object);
    }

    #[test]
    fn the_version_goes_to_the_watch_and_not_into_the_world() {
        let text = r#"{"metadata": {"namespace": "a", "name": "p", "uid": "u", "resourceVersion": "12"}}"#;
        for object in [
            serde_json::from_str::<Wire<Pod, false>>(text).map(|wire| (kube::Resource::meta(&wire).clone(), wire.object)),
            serde_json::from_str::<Wire<Pod, true>>(text).map(|wire| (kube::Resource::meta(&wire).clone(), wire.object)),
        ] {
            let (meta, object) = object.expect("a pod");
            assert_eq!(meta.resource_version.as_deref(), Some("12"));
            assert_eq!(&*object.expect("decoded").meta().resource_version, "");
        }
    }
}
