//! What is not replaced: words of Kubernetes, of Google, and of the texts that their controllers write.
//!
//! Enters: words. Leaves: whether they stay. Never: holds a name that somebody gave to something.

/// Words that stay wherever they stand: parts of paths, of generated names, of keys, of hosts.
const NAMES: &str = "
    kube system default public gke gce gcp k8s k8s1 k8s2 um tp ts tps fr fs fw fws be ig ssl cr rm l7 lb mcrt neg negs uid
    projects global zones regions locations clusters compute container v1 v1beta1 v1alpha1 v2 beta alpha https http http2 grpc tcp udp tls
    backendservices healthchecks urlmaps targethttpproxies targethttpsproxies forwardingrules addresses sslcertificates firewalls
    subnetworks networks networkendpointgroups instancegroups instances zone region gethealth listnetworkendpoints listinstances
    pods services ingresses events nodes proxy resource ipaddress pathmatchers paths timeoutsec apis api
    com org net io dev app cloud internal local localhost svc cluster google googleapis googleapi www gcr pkg
    iam gserviceaccount developer robot engine cloudservices container service services account
    ingress exposed ports port name names network endpoint endpoints group groups namespace backend config
    true false on off healthy unhealthy unknown draining timeout vm ip clusterip nodeport loadbalancer externalname
    regional external gceinternal node nodes pod template hash controller revision pool firewall healthz health
    glbc tobedeletedbyclusterautoscaler
    constraints customconstraints custom
    transparenthc k8sresource k8scluster k8sclusters features
";

/// Names that stay as a whole, of the add-on and of Google.
pub(super) const WHOLE: [&str; 7] = [
    "default-http-backend",
    "l7-default-backend",
    "ingress-gce-lock",
    "ingress-gce-neg-lock",
    "pod-template-hash",
    "controller-revision-hash",
    "container-engine-robot",
];

/// Domains of which keys stay: `cloud.google.com/neg`.
const DOMAINS: [&str; 5] = ["kubernetes.io", "k8s.io", "gke.io", "cloud.google.com", "argoproj.io"];

/// Lower-case words of the texts that GKE's controllers and Google write, for which nobody's name is taken.
const TEXTS: &str = include_str!("texts.txt");

/// Parts of the names of Google's regions.
const REGIONS: [&str; 8] = ["africa", "asia", "australia", "europe", "me", "northamerica", "southamerica", "us"];
const DIRECTIONS: [&str; 9] = ["northeast", "northwest", "southeast", "southwest", "central", "north", "south", "east", "west"];

/// The words that stay.
pub(super) struct Vocabulary {
    names: std::collections::BTreeSet<&'static str>,
    texts: std::collections::BTreeSet<&'static str>,
}

impl Vocabulary {
    pub(super) fn new() -> Self {
        Self { names: NAMES.split_whitespace().collect(), texts: TEXTS.split_whitespace().collect() }
    }

    /// A word that stays wherever it stands.
    pub(super) fn is_name(&self, word: &str) -> bool {
        self.names.contains(&*word.to_lowercase())
    }

    /// A word of a controller's text: their own, and whatever has capitals, which no name of an object has.
    pub(super) fn is_text(&self, word: &str) -> bool {
        word.chars().any(char::is_uppercase) || self.texts.contains(word)
    }
}

/// A key like `cloud.google.com/neg`, or a domain alone: all of it that stays.
pub(super) fn key(run: &str) -> Option<&str> {
    let domain_end = run.find('/').unwrap_or(run.len());
    let domain = run.get(..domain_end)?;
    let known = DOMAINS.iter().any(|known| domain.strip_suffix(known).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')));
    if !known {
        return None;
    }
    let rest = run.get(domain_end + 1..).unwrap_or_default();
    let name = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(rest.len());
    let end = if name == 0 { domain_end } else { domain_end + 1 + name };
    run.get(..end).map(|key| key.trim_end_matches('.'))
}

/// A constraint that Google made, of which the name says nothing about anybody: `constraints/compute.restrictLoadBalancerCreationForTypes`.
pub(super) fn constraint(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("constraints/").filter(|rest| !rest.starts_with("custom."))?;
    let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
    Some(text.len() - rest.len() + rest.get(..length)?.trim_end_matches('.').len())
}

/// A region or zone of Google's: `us-central1`, `europe-west10-b`.
pub(super) fn is_location(run: &str) -> bool {
    let mut parts = run.split('-');
    let (Some(continent), Some(region), zone, None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    let number = DIRECTIONS.iter().find_map(|direction| region.strip_prefix(direction)).unwrap_or_default();
    REGIONS.contains(&continent)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && zone.is_none_or(|zone| zone.len() == 1 && zone.bytes().all(|byte| byte.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays() {
        assert_eq!(key("cloud.google.com/neg\": 1"), Some("cloud.google.com/neg"));
        assert_eq!(key("networking.gke.io/v1beta1.FrontendConfig"), Some("networking.gke.io/v1beta1.FrontendConfig"));
        assert_eq!(key("servicenetworkendpointgroups.networking.gke.io"), Some("servicenetworkendpointgroups.networking.gke.io"));
        for not in ["acme.com/team", "mykubernetes.io/a", "a", ""] {
            assert_eq!(key(not), None, "{not}");
        }
        assert!(is_location("us-central1") && is_location("europe-west10-b"));
        for not in ["us-central", "shop-west1", "us-central1-a-pool", "us-central1-ab", "us", ""] {
            assert!(!is_location(not), "{not}");
        }
    }
}
