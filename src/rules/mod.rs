//! The catalogue of findings: one file with its question, one page with its meaning, per code.
//!
//! Enters: a [`Topology`], and one of its backends where the question is about a backend. Leaves: a [`Finding`], nothing, or the
//! [`Unknown`] that kept the rule from answering. Never: reads a server, a clock or another rule; rules know each other by code in
//! `explains` alone.

pub mod finding;
pub mod mend;
pub mod page;
pub mod text;

pub use finding::{Confidence, Evidence, Finding, Severity};

use crate::snapshot::Unknown;
use crate::topology::{Backend, Topology};

/// What a rule answers.
pub type Answer = Result<Option<Finding>, Unknown>;

/// What a rule asks about.
#[derive(Clone, Copy)]
pub enum Check {
    /// Once per target.
    Target(fn(&Topology<'_>) -> Answer),
    /// Once per backend, the system default backend included.
    Backend(fn(&Topology<'_>, &Backend<'_>) -> Answer),
}

/// The sections of the catalogue, in the order in which their causes rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Section {
    /// A: nobody is listening.
    Listening,
    /// G: life cycle.
    LifeCycle,
    /// B: the specification is refused, or partly ignored.
    Specification,
    /// C: the frontend cannot be programmed because Google refuses (permission, quota, policy).
    Refused,
    /// C: the frontend cannot be programmed because something it names is missing or wrong.
    Frontend,
    /// D: the path from the load balancer to the pod is closed.
    Path,
    /// E: network endpoint groups.
    Groups,
    /// F: health.
    Health,
}

impl Section {
    /// The catalogue's heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Listening => "Nobody is listening",
            Self::LifeCycle => "Life cycle",
            Self::Specification => "The specification is refused, or partly ignored",
            Self::Refused | Self::Frontend => "The frontend cannot be programmed",
            Self::Path => "The path from the load balancer to the pod is closed",
            Self::Groups => "Network endpoint groups",
            Self::Health => "Health",
        }
    }
}

/// One finding's rule.
pub struct Rule {
    /// The contract: it stands in the custom resource, in metric labels and in events, and never changes.
    pub code: &'static str,
    /// Where it stands in the catalogue.
    pub section: Section,
    /// The row's severity; a finding may carry another where the catalogue says so.
    pub severity: Severity,
    /// It follows from a cause where one explains it.
    pub symptom: bool,
    /// It is asked also of an Ingress that GKE's controller does not handle.
    pub unhandled: bool,
    /// One line.
    pub summary: &'static str,
    /// The page: what it means, why traffic breaks, how to confirm, how to mend, how it differs, sources.
    pub doc: &'static str,
    /// Codes of what follows from it, on the same backend, or anywhere when one of the two is the whole target's.
    pub explains: &'static [&'static str],
    /// The question.
    pub check: Check,
}

/// What every cause on the way to the pods explains.
pub const HEALTH_SYMPTOMS: &[&str] =
    &["BackendUnhealthy", "BackendPartiallyUnhealthy", "ReadinessGateBlocked", "ReadinessGateTimedOut"];

/// What everything that stops programming explains.
pub const NO_ADDRESS: &[&str] = &["NoAddress"];

macro_rules! catalogue {
    ($($module:ident),* $(,)?) => {
        $(mod $module;)*

        /// Every rule, by section and code.
        pub static CATALOGUE: &[&Rule] = &[$(&$module::RULE),*];
    };
}

// Sorted: the modules' names are the codes in snake case.
catalogue! {
    app_protocols_invalid,
    backend_config_invalid,
    backend_config_not_found,
    backend_partially_unhealthy,
    backend_protocol_mismatch,
    backend_unhealthy,
    certificate_not_found,
    default_backend_unavailable,
    deletion_blocked,
    duplicate_host,
    endpoint_port_name_mismatch,
    external_traffic_policy_local,
    firewall_change_required,
    foreign_finalizer,
    frontend_config_not_found,
    health_check_drift,
    health_check_firewall_blocked,
    health_check_port_wrong,
    health_check_redirected,
    health_check_refused,
    health_check_rejected,
    health_check_times_out,
    health_check_timing_invalid,
    http_and_https_disabled,
    http_load_balancing_disabled,
    ingress_class_not_handled,
    ingress_controller_stalled,
    internal_https_needs_shared_address,
    internal_service_needs_neg,
    managed_certificate_not_active,
    name_invalid,
    neg_annotation_invalid,
    neg_attach_failed,
    neg_degraded,
    neg_endpoint_drift,
    neg_name_conflict,
    neg_not_attached,
    neg_not_created,
    neg_sync_failed,
    network_policy_blocks_health_checks,
    no_address,
    no_endpoints,
    no_usable_nodes,
    organization_policy_denied,
    path_invalid,
    pods_not_ready,
    provisioning,
    proxy_only_subnet_missing,
    quota_exceeded,
    readiness_gate_blocked,
    readiness_gate_timed_out,
    readiness_probe_not_used,
    redirect_without_tls,
    resource_backend_unsupported,
    rule_ignored,
    service_agent_permission_denied,
    service_not_found,
    service_port_not_found,
    service_type_unsupported,
    stale_status,
    static_address_unusable,
    tls_secret_invalid,
    tls_secret_not_found,
}

/// The rule of a code.
pub fn find(code: &str) -> Option<&'static Rule> {
    CATALOGUE.iter().copied().find(|rule| rule.code == code)
}
