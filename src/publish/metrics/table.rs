//! Every metric of the process: its name, its labels, what it says, how many series it has.
//!
//! Enters: nothing. Leaves: the table from which metrics are registered, written and documented. Never: a name or a label that stands
//! somewhere else as well.

/// The form of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A value of the moment.
    Gauge,
    /// A value that only grows.
    Counter,
    /// Counts by size.
    Histogram,
}

impl Kind {
    /// The word of the text format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// Its form.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
    /// How many series it has at most.
    pub series: &'static str,
}

macro_rules! families {
    ($($constant:ident: $kind:ident $name:literal $labels:expr, $help:literal, $series:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Family =
                Family { name: $name, kind: Kind::$kind, labels: &$labels, help: $help, series: $series };
        )*

        /// Every metric, what the process says of itself among them.
        pub static TABLE: &[&Family] = &[$(&$constant),*];
    };
}

families! {
    VERDICT: Gauge "ingress_diagnosis_verdict" ["namespace", "kind", "name", "verdict"],
        "1 for the verdict of a target: Healthy, Progressing, Degraded, Broken or Unknown", "1 per target";
    VERDICT_SINCE: Gauge "ingress_diagnosis_verdict_since_timestamp_seconds" ["namespace", "kind", "name"],
        "Since when the verdict of a target stands, as Unix time", "1 per target";
    FINDING: Gauge "ingress_diagnosis_finding" ["namespace", "kind", "name", "backend", "code", "severity", "role"],
        "1 for each finding of a target; role is root, cause, symptom or acknowledged", "0 for a healthy target, at most 260";
    CAUSE_INFO: Gauge "ingress_diagnosis_cause_info"
        ["namespace", "kind", "name", "backend", "code", "role", "message", "mend", "runbook_url"],
        "1 for each finding of a target that nothing else explains, with its words, the first step of its mend and its page",
        "0 for a healthy target, at most 20; message and mend have at most 200 bytes";
    ENDPOINTS: Gauge "ingress_diagnosis_endpoints" ["namespace", "kind", "name", "backend", "state"],
        "Endpoints of a backend by what the load balancer's health check says: healthy, unhealthy or unknown",
        "3 per backend, at most 90 per target";
    UNKNOWN: Gauge "ingress_diagnosis_unknown" ["source", "resource", "reason"],
        "1 for each kind of resource that could not be read", "1 per kind of resource and reason: some dozens at worst";
    FACTS_OLDEST: Gauge "ingress_diagnosis_compute_facts_oldest_timestamp_seconds" [],
        "When the oldest of the Compute facts in use was read, as Unix time", "1, of the leader";
    COMPUTE_REQUESTS: Counter "ingress_diagnosis_compute_requests_total" ["method", "code"],
        "Requests to the Compute Engine API by method and HTTP status or error", "some 20 methods by what was answered";
    COMPUTE_BUDGET: Gauge "ingress_diagnosis_compute_budget_reads_per_minute" [],
        "Requests to the Compute Engine API that are allowed within any minute", "1";
    FACTS_AGE: Histogram "ingress_diagnosis_compute_facts_age_seconds" [],
        "Age of the Compute facts that a diagnosis rests on", "10 buckets";
    RECONCILE: Histogram "ingress_diagnosis_reconcile_duration_seconds" [],
        "Time to diagnose everything that a change concerns", "7 buckets";
    LAST_RECONCILE: Gauge "ingress_diagnosis_last_reconcile_timestamp_seconds" [],
        "When everything that a change concerns was diagnosed last, as Unix time", "1";
    PROBE_REQUESTS: Counter "ingress_diagnosis_probe_requests_total" ["result"],
        "Requests to pods by HTTP status or error", "1 per status or error";
    LEADER: Gauge "ingress_diagnosis_leader" [],
        "1 when this process writes, 0 when another one does", "1";
    BUILD_INFO: Gauge "ingress_diagnosis_build_info" ["version"],
        "1, with the version of the program as a label", "1";
    PROCESS_CPU: Counter "process_cpu_seconds_total" [],
        "Total user and system CPU time spent in seconds.", "1";
    PROCESS_OPEN_FDS: Gauge "process_open_fds" [], "Number of open file descriptors.", "1";
    PROCESS_MAX_FDS: Gauge "process_max_fds" [], "Maximum number of open file descriptors.", "1";
    PROCESS_VIRTUAL_MEMORY: Gauge "process_virtual_memory_bytes" [], "Virtual memory size in bytes.", "1";
    PROCESS_MEMORY: Gauge "process_resident_memory_bytes" [], "Resident memory size in bytes.", "1";
    PROCESS_START: Gauge "process_start_time_seconds" [],
        "Start time of the process since unix epoch in seconds.", "1";
    PROCESS_THREADS: Gauge "process_threads" [], "Number of OS threads in the process.", "1";
}

/// The table for people.
pub fn markdown() -> String {
    let mut text = "| metric | labels | what | series |\n|---|---|---|---|\n".to_owned();
    for family in TABLE {
        let Family { name, kind, labels, help, series } = family;
        let help = help.trim_end_matches('.');
        text.push_str(&format!("| `{name}` | {} | {}: {help} | {series} |\n", labels.join(", "), kind.as_str()));
    }
    text
}
