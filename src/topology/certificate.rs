//! How far Google is with the managed certificates of an Ingress.
//!
//! Enters: a [`Topology`], its ManagedCertificates and the certificates in Compute. Leaves: [`Issued`], one per managed certificate, in one
//! vocabulary. Never: looks at a certificate that the Ingress does not name.
//! Source: gke-managed-certs `pkg/config/config.go` (the states), the Compute API's `SslCertificate.managed`.

use jiff::Timestamp;

use crate::snapshot::compute::SslCertificate;
use crate::snapshot::kubernetes::ManagedCertificate;
use crate::snapshot::{Observed, Unknown};

use super::{Frontend, Topology};

/// How far one managed certificate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issued<'a> {
    /// Where it was read: `ManagedCertificate shop/web-cert`, or a path in Compute.
    pub place: String,
    /// Its name.
    pub name: &'a str,
    /// It is a ManagedCertificate of the cluster.
    pub resource: bool,
    /// Its state, as the object says it.
    pub status: &'a str,
    /// Its domains and their states, as the object says them.
    pub domains: Vec<(&'a str, &'a str)>,
    /// Since when it is wanted here.
    pub since: Option<Timestamp>,
    /// When it expires, once it was issued.
    pub expires: Option<Timestamp>,
}

/// One spelling for both APIs: `FailedNotVisible` and `FAILED_NOT_VISIBLE`.
fn plain(state: &str) -> String {
    state.replace('_', "").to_ascii_lowercase()
}

impl<'a> Issued<'a> {
    /// The state is one of these, spelled as in a ManagedCertificate.
    pub fn is(&self, states: &[&str]) -> bool {
        states.iter().any(|state| plain(state) == plain(self.status))
    }

    /// It is issued, and every domain is served.
    pub fn complete(&self) -> bool {
        self.is(&["Active"]) && self.lacking().next().is_none()
    }

    /// The domains that are not served.
    pub fn lacking(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.domains.iter().copied().filter(|(_, state)| plain(state) != "active")
    }

    /// The domains in one of these states, spelled as in a ManagedCertificate.
    pub fn domains_in(&self, states: &[&str]) -> Vec<&'a str> {
        let wanted = |state: &str| states.iter().any(|wanted| plain(wanted) == plain(state));
        self.domains.iter().filter(|(_, state)| wanted(state)).map(|(domain, _)| *domain).collect()
    }

    /// Google is at it, and nothing failed so far. `ProvisioningFailed` may show for a moment, and is tried again.
    pub fn under_way(&self) -> bool {
        self.is(&["", "Provisioning", "ProvisioningFailed"])
            && self.lacking().all(|(_, state)| matches!(&*plain(state), "" | "provisioning"))
    }

    /// It can be served: issued, and, where its renewal failed, not expired yet.
    pub fn usable(&self, now: Timestamp) -> bool {
        self.is(&["Active"]) || (self.is(&["RenewalFailed"]) && self.expires.is_none_or(|expires| expires > now))
    }
}

impl<'a> Topology<'a> {
    /// The managed certificates that the Ingress names and that are there, and why some could not be read.
    pub fn managed_certificates(&self, frontend: &Frontend<'a>) -> (Vec<Issued<'a>>, Option<Unknown>) {
        let asked = self.meta().creation_timestamp;
        let mut issued = Vec::new();
        let mut unread = None;
        let mut covered = Vec::new();
        for name in &frontend.managed {
            match self.snapshot.kubernetes.managed_certificates.get(self.namespace(), name) {
                Observed::Present(certificate) => {
                    covered.push(&*certificate.status.certificate_name);
                    issued.push(of_resource(certificate, asked));
                }
                Observed::Absent => {}
                Observed::Unknown(why) => unread = Some(why),
            }
        }
        for name in frontend.pre_shared.iter().filter(|name| !covered.contains(name)) {
            let path = format!("{}/sslCertificates/{name}", self.scope());
            if let Observed::Present(certificate) = self.snapshot.compute.get::<SslCertificate>(&path) {
                issued.extend(of_compute(path, certificate, asked));
            }
        }
        (issued, unread)
    }

    /// Some certificate that is not managed by Google may be served: a Secret's, or a pre-shared one that is not known to be absent.
    pub fn serves_other_certificate(&self, frontend: &Frontend<'_>) -> bool {
        let other = |name: &&str| {
            let path = format!("{}/sslCertificates/{name}", self.scope());
            match self.snapshot.compute.get::<SslCertificate>(&path) {
                Observed::Present(certificate) => certificate.managed.is_none(),
                Observed::Absent => false,
                Observed::Unknown(_) => !name.starts_with("mcrt-"),
            }
        };
        !frontend.secrets.is_empty() || frontend.pre_shared.iter().any(other)
    }
}

fn of_resource(certificate: &ManagedCertificate, asked: Option<Timestamp>) -> Issued<'_> {
    let meta = &certificate.metadata;
    let status = &certificate.status;
    Issued {
        place: format!("ManagedCertificate {}/{}", meta.namespace, meta.name),
        name: &meta.name,
        resource: true,
        status: &status.certificate_status,
        domains: status.domain_status.iter().map(|domain| (&*domain.domain, &*domain.status)).collect(),
        since: meta.creation_timestamp.max(asked),
        expires: status.expire_time.parse().ok(),
    }
}

fn of_compute(path: String, certificate: &SslCertificate, asked: Option<Timestamp>) -> Option<Issued<'_>> {
    let managed = certificate.managed.as_ref()?;
    Some(Issued {
        place: path,
        name: &certificate.name,
        resource: false,
        status: &managed.status,
        domains: managed.domain_status.iter().map(|(domain, state)| (&**domain, &**state)).collect(),
        since: certificate.creation_timestamp.max(asked),
        expires: certificate.expire_time,
    })
}
