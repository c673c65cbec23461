//! The names that GKE's Ingress and NEG controllers give to Compute resources.
//!
//! Enters: the cluster's identities and Kubernetes names. Leaves: names. Never: looks anything up.
//! Source: ingress-gce `pkg/utils/namer` (namer.go, frontendnamer.go, utils.go).

use sha2::{Digest, Sha256};

/// Longest name that the v1 scheme leaves as it is.
const MAX_NAME: usize = 62;

/// Lower-case hexadecimal SHA-256, its first `length` characters.
fn hex(text: &str, length: usize) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .take(length)
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// The first `length` bytes of SHA-256, each as one of 36 characters.
fn content_hash(text: &str, length: usize) -> String {
    const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    Sha256::digest(text.as_bytes()).iter().take(length).map(|byte| char::from(ALPHABET[usize::from(byte % 36)])).collect()
}

fn prefix(text: &str, length: usize) -> &str {
    &text[..text.floor_char_boundary(length)]
}

fn truncate(name: &str) -> String {
    if name.len() > MAX_NAME { format!("{}0", prefix(name, MAX_NAME)) } else { name.to_owned() }
}

/// Shortens the fields in proportion to their lengths until they fit into `max` together.
fn trim_evenly<const N: usize>(max: usize, fields: [&str; N]) -> [String; N] {
    let total: usize = fields.iter().map(|field| field.len()).sum();
    if total <= max {
        return fields.map(str::to_owned);
    }
    let excess = total - max;
    let mut lengths = fields.map(|field| field.len().saturating_sub(field.len() * excess / total + 1));
    let mut left = max.saturating_sub(lengths.iter().sum());
    for (length, field) in lengths.iter_mut().zip(fields) {
        if left == 0 {
            break;
        }
        if *length < field.len() {
            *length += 1;
            left -= 1;
        }
    }
    let mut lengths = lengths.into_iter();
    fields.map(|field| prefix(field, lengths.next().unwrap_or_default()).to_owned())
}

/// The cluster's identities, which stand in every name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterIds {
    /// ConfigMap `kube-system/ingress-uid`, key `uid`: in v1 names, NEGs, instance groups and backend services. `None` when unknown.
    pub uid: Option<Box<str>>,
    /// Its first eight characters, where no more is known: in the names of NEGs.
    pub short_uid: Option<Box<str>>,
    /// The same ConfigMap's `provider-uid`: in the name of the firewall rule.
    pub firewall: Option<Box<str>>,
    /// uid of the namespace `kube-system`: in v2 frontend names.
    pub kube_system: Option<Box<str>>,
}

impl ClusterIds {
    fn uid8(&self) -> Option<&str> {
        self.uid.as_deref().map(|uid| prefix(uid, 8)).or(self.short_uid.as_deref())
    }

    /// The NEG of a Service port, and its backend service and health check behind an external or internal Ingress.
    pub fn neg(&self, namespace: &str, service: &str, port: i32) -> Option<String> {
        let uid8 = self.uid8()?;
        let port = port.to_string();
        let hash = hex(&format!("{uid8};{namespace};{service};{port}"), 8);
        let [namespace, service, port] = trim_evenly(38, [namespace, service, &port]);
        Some(format!("k8s1-{uid8}-{namespace}-{service}-{port}-{hash}"))
    }

    /// The backend service and health check of a Service port behind a regional external Ingress.
    pub fn regional_external(&self, namespace: &str, service: &str, port: i32) -> Option<String> {
        let uid8 = self.uid8()?;
        let port = port.to_string();
        let hash = hex(&format!("{uid8};{namespace};{service};{port}"), 8);
        let [namespace, service, port] = trim_evenly(36, [namespace, service, &port]);
        Some(format!("k8s1-{uid8}-e-{namespace}-{service}-{port}-{hash}"))
    }

    /// The backend service and health check of a node port (instance groups).
    pub fn node_port(&self, node_port: i32) -> Option<String> {
        let uid = self.uid.as_deref()?;
        Some(if uid.is_empty() {
            truncate(&format!("k8s-be-{node_port}"))
        } else {
            truncate(&format!("k8s-be-{node_port}--{uid}"))
        })
    }

    /// The instance group of each zone.
    pub fn instance_group(&self) -> Option<String> {
        self.uid.as_deref().map(|uid| truncate(&format!("k8s-ig--{uid}")))
    }

    /// The one firewall rule of the cluster.
    pub fn firewall_rule(&self) -> Option<String> {
        let uid = self.firewall.as_deref().or(self.uid.as_deref())?;
        Some(format!("k8s-fw-{}", truncate(&format!("l7--{uid}"))))
    }

    /// The load balancer's name in the v1 scheme, the stem of its frontends' names.
    pub fn load_balancer_v1(&self, namespace: &str, ingress: &str) -> Option<String> {
        self.uid.as_deref().map(|uid| truncate(&format!("{namespace}-{ingress}--{uid}")))
    }

    /// The load balancer's name in the v2 scheme, the stem of its frontends' names.
    pub fn load_balancer_v2(&self, namespace: &str, ingress: &str) -> Option<String> {
        let uid = self.kube_system.as_deref()?;
        let cluster = content_hash(uid, 8);
        let hash = content_hash(&format!("{uid};{namespace};{ingress}"), 8);
        let [namespace, ingress] = trim_evenly(36, [namespace, ingress]);
        Some(format!("{cluster}-{namespace}-{ingress}-{hash}"))
    }

    /// Both possible names of an HTTP or HTTPS forwarding rule.
    pub fn forwarding_rules(&self, namespace: &str, ingress: &str, https: bool) -> Vec<String> {
        let (v1, v2) = if https { ("k8s-fws-", "k8s2-fs-") } else { ("k8s-fw-", "k8s2-fr-") };
        let v2 = self.load_balancer_v2(namespace, ingress).map(|lb| format!("{v2}{lb}"));
        let v1 = self.load_balancer_v1(namespace, ingress).map(|lb| truncate(&format!("{v1}{lb}")));
        v2.into_iter().chain(v1).collect()
    }
}

/// The cluster's uid as the controller reads it from the ConfigMap: what stands after the last `--`.
pub fn cluster_uid(value: &str) -> &str {
    value.rsplit("--").next().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: &str = "01234567890123456789012345678901234567890123456789";

    fn ids(uid: &str) -> ClusterIds {
        ClusterIds { uid: Some(uid.into()), short_uid: None, firewall: None, kube_system: Some("kubesystem-uid1".into()) }
    }

    #[test]
    fn negs() {
        let ids = ids("0123456789abcdef");
        for (namespace, service, port, name) in [
            ("namespace", "name", 80, "k8s1-01234567-namespace-name-80-5104b449"),
            ("default", "web", 80, "k8s1-01234567-default-web-80-7c3a6e37"),
            ("kube-system", "default-http-backend", 80, "k8s1-01234567-kube-system-default-http-backend-80-c1a8d914"),
            (LONG, LONG, 0, "k8s1-01234567-0123456789012345678-0123456789012345678--9129e3d2"),
            (LONG, "0", 0, "k8s1-01234567-0123456789012345678901234567890123456-0--72142e04"),
            (LONG, &LONG[..40], 2147483647, "k8s1-01234567-0123456789012345678-0123456789012345-214-ed1f2a2f"),
        ] {
            assert_eq!(ids.neg(namespace, service, port).as_deref(), Some(name));
        }
        assert_eq!(
            ids.regional_external(LONG, &LONG[..40], 2147483647).as_deref(),
            Some("k8s1-01234567-e-012345678901234567-012345678901234-214-ed1f2a2f")
        );
    }

    #[test]
    fn instance_groups_and_firewall() {
        assert_eq!(ids("uid1").node_port(80).as_deref(), Some("k8s-be-80--uid1"));
        assert_eq!(ids(&"x".repeat(100)).node_port(8080), Some(format!("k8s-be-8080--{}0", "x".repeat(49))));
        assert_eq!(ids("uid1").instance_group().as_deref(), Some("k8s-ig--uid1"));
        let with_firewall = ClusterIds { firewall: Some("fw1".into()), ..ids("uid1") };
        assert_eq!(with_firewall.firewall_rule().as_deref(), Some("k8s-fw-l7--fw1"));
    }

    #[test]
    fn frontends() {
        let ids = ids("uid0");
        assert_eq!(ids.load_balancer_v2("namespace", "name").as_deref(), Some("7kpbhpki-namespace-name-uhmwf5xi"));
        assert_eq!(ids.load_balancer_v2("default", "web").as_deref(), Some("7kpbhpki-default-web-x11xfi16"));
        let long = &LONG[..24];
        assert_eq!(ids.load_balancer_v2(long, long).as_deref(), Some("7kpbhpki-012345678901234567-012345678901234567-o0dahbae"));
        assert_eq!(ids.load_balancer_v1("namespace", "name").as_deref(), Some("namespace-name--uid0"));
        assert_eq!(ids.forwarding_rules(long, long, true)[1], "k8s-fws-012345678901234567890123-012345678901234567890123--uid0");
    }

    #[test]
    fn uid_after_the_last_dashes() {
        assert_eq!(cluster_uid("abc--def"), "def");
        assert_eq!(cluster_uid("abc"), "abc");
    }

    #[test]
    fn hostile_names_do_not_panic() {
        let ids = ids("ü".repeat(20).as_str());
        assert!(ids.neg(&"ß".repeat(70), &"é".repeat(70), i32::MIN).is_some());
        assert!(ids.load_balancer_v2(&"ß".repeat(70), "").is_some());
    }
}
