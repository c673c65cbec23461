//! What every Kubernetes object has in common, and how its JSON is read sparingly.
//!
//! Enters: JSON of the API server. Leaves: [`ObjectMeta`] and decoding helpers for the slim types.
//! Never: keeps managed fields or annotations that no rule reads.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Labels, annotations or a selector's pairs.
pub type Pairs = BTreeMap<Box<str>, Box<str>>;

/// Metadata of an object, without what no rule reads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectMeta {
    /// Name within the namespace.
    pub name: Box<str>,
    /// Namespace; empty for cluster-scoped kinds.
    pub namespace: Box<str>,
    /// Identity of this incarnation of the name.
    pub uid: Box<str>,
    /// Version of the object, for the watch.
    pub resource_version: Box<str>,
    /// Counts changes of the specification.
    pub generation: i64,
    /// When it was created.
    pub creation_timestamp: Option<Timestamp>,
    /// When its deletion was asked for.
    pub deletion_timestamp: Option<Timestamp>,
    /// All labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: Pairs,
    /// The annotations that GKE's controllers read or write; others are dropped.
    #[serde(deserialize_with = "known_annotations")]
    pub annotations: Pairs,
    /// Who holds a deletion up.
    #[serde(deserialize_with = "or_default")]
    pub finalizers: Vec<Box<str>>,
    /// Owners, the controller among them.
    #[serde(deserialize_with = "or_default")]
    pub owner_references: Vec<OwnerReference>,
}

impl ObjectMeta {
    /// An annotation's value; `None` when it is absent.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.get(key).map(AsRef::as_ref)
    }
}

/// An owner of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// `ReplicaSet`, `Ingress`, …
    pub kind: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// Its identity.
    pub uid: Box<str>,
}

/// A kind as the API server serves it.
pub trait Kind: for<'de> Deserialize<'de> + Clone + fmt::Debug + Send + Sync + 'static {
    /// `Pod`, `Ingress`, …
    const KIND: &'static str;
    /// API group; empty for the core group.
    const GROUP: &'static str;
    /// Version within the group.
    const VERSION: &'static str;
    /// Plural name in the API's paths.
    const PLURAL: &'static str;
    /// Whether the API server checks the object's form; a custom resource with an open schema may hold anything.
    const CHECKED: bool = true;

    /// The object's metadata.
    fn meta(&self) -> &ObjectMeta;

    /// The object's metadata, to be cut down before the object is kept.
    fn meta_mut(&mut self) -> &mut ObjectMeta;

    /// `ingresses.networking.k8s.io`, `pods`: the name in `meta.yaml` and in RBAC texts.
    fn resource() -> String {
        if Self::GROUP.is_empty() { Self::PLURAL.to_owned() } else { format!("{}.{}", Self::PLURAL, Self::GROUP) }
    }

    /// `networking.k8s.io/v1`, `v1`.
    fn api_version() -> String {
        if Self::GROUP.is_empty() { Self::VERSION.to_owned() } else { format!("{}/{}", Self::GROUP, Self::VERSION) }
    }
}

/// Declares a kind.
macro_rules! kind {
    ($type:ty, $kind:literal, $group:literal, $version:literal, $plural:literal $(, checked = $checked:literal)?) => {
        impl $crate::snapshot::kubernetes::Kind for $type {
            const KIND: &'static str = $kind;
            const GROUP: &'static str = $group;
            const VERSION: &'static str = $version;
            const PLURAL: &'static str = $plural;
            $(const CHECKED: bool = $checked;)?
            fn meta(&self) -> &$crate::snapshot::kubernetes::ObjectMeta {
                &self.metadata
            }
            fn meta_mut(&mut self) -> &mut $crate::snapshot::kubernetes::ObjectMeta {
                &mut self.metadata
            }
        }
    };
}
pub(crate) use kind;

/// A number or a name of a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PortRef {
    /// By number.
    Number(i32),
    /// By name.
    Name(Box<str>),
}

impl Default for PortRef {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl fmt::Display for PortRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Reads `null` like an absent field.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// An annotation beyond this many bytes is cut: a rule quotes a few words of it at most.
const ANNOTATION_LIMIT: usize = 64 * 1024;

const ANNOTATION_PREFIXES: [&str; 8] = [
    "kubernetes.io/ingress.",
    "ingress.kubernetes.io/",
    "ingress.gcp.kubernetes.io/",
    "networking.gke.io/",
    "cloud.google.com/",
    "beta.cloud.google.com/",
    "service.alpha.kubernetes.io/",
    "endpoints.kubernetes.io/",
];

fn known_annotations<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
    struct Known;
    impl<'de> Visitor<'de> for Known {
        type Value = Pairs;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of annotations")
        }

        fn visit_unit<E>(self) -> Result<Pairs, E> {
            Ok(Pairs::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
            let mut known = Pairs::new();
            while let Some(key) = map.next_key::<String>()? {
                if ANNOTATION_PREFIXES.iter().any(|prefix| key.starts_with(prefix)) {
                    // The API server lets strings in alone; what is not one says nothing.
                    if let Ok(mut value) = String::deserialize(map.next_value::<serde_json::Value>()?) {
                        value.truncate(value.floor_char_boundary(ANNOTATION_LIMIT));
                        known.insert(key.into(), value.into());
                    }
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(known)
        }
    }
    deserializer.deserialize_any(Known)
}
