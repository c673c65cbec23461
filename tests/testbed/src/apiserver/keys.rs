//! Where the API server keeps an object in etcd.
//!
//! In: a kind and a name. Out: a key. Pure.

/// A kind of object, as discovery names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) namespaced: bool,
}

/// Groups that are compiled into the API server; everything else is a custom resource.
const BUILT_IN: [&str; 20] = [
    "",
    "admissionregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

impl Resource {
    /// The key of an object.
    pub(super) fn key(&self, namespace: Option<&str>, name: &str) -> String {
        match namespace {
            Some(namespace) => format!("{}/{namespace}/{name}", self.prefix()),
            None => format!("{}/{name}", self.prefix()),
        }
    }

    /// The path of the collection in the API.
    pub(super) fn path(&self, namespace: Option<&str>) -> String {
        let root = if self.group.is_empty() {
            format!("/api/{}", self.version)
        } else {
            format!("/apis/{}/{}", self.group, self.version)
        };
        match namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }

    fn prefix(&self) -> String {
        let (group, plural) = (self.group.as_str(), self.plural.as_str());
        let aggregated = matches!(group, "apiextensions.k8s.io" | "apiregistration.k8s.io");
        if aggregated || !BUILT_IN.contains(&group) {
            return format!("/registry/{group}/{plural}");
        }
        let place = match (group, plural) {
            ("", "services") => "services/specs",
            ("", "endpoints") => "services/endpoints",
            ("", "nodes") => "minions",
            ("", "replicationcontrollers") => "controllers",
            ("networking.k8s.io" | "extensions", "ingresses") => "ingress",
            _ => plural,
        };
        format!("/registry/{place}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(group: &str, version: &str, plural: &str) -> Resource {
        Resource { group: group.into(), version: version.into(), plural: plural.into(), namespaced: true }
    }

    #[test]
    fn keys_and_paths() {
        let services = resource("", "v1", "services");
        assert_eq!(services.key(Some("shop"), "cart"), "/registry/services/specs/shop/cart");
        assert_eq!(services.path(Some("shop")), "/api/v1/namespaces/shop/services");
        assert_eq!(resource("", "v1", "nodes").key(None, "n"), "/registry/minions/n");
        assert_eq!(resource("networking.k8s.io", "v1", "ingressclasses").key(None, "gce"), "/registry/ingressclasses/gce");
        let neg = resource("networking.gke.io", "v1beta1", "servicenetworkendpointgroups");
        assert_eq!(neg.key(Some("a"), "b"), "/registry/networking.gke.io/servicenetworkendpointgroups/a/b");
        assert_eq!(neg.path(None), "/apis/networking.gke.io/v1beta1/servicenetworkendpointgroups");
    }
}
