//! Pod and the workloads that make pods. Enters: JSON. Leaves: [`Pod`], [`Deployment`], [`StatefulSet`].
//! Never: keeps commands, environments, volumes or anything else that no rule reads.

use jiff::Timestamp;
use serde::Deserialize;

use super::meta::{ObjectMeta, Pairs, PortRef, kind, or_default};

/// The readiness gate that GKE's NEG controller answers.
pub const NEG_READINESS_GATE: &str = "cloud.google.com/load-balancer-neg-ready";

/// A pod, as far as a rule reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Pod {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What is asked for.
    pub spec: PodSpec,
    /// What runs.
    pub status: PodStatus,
}
kind!(Pod, "Pod", "", "v1", "pods");

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSpec {
    /// Where it was scheduled; empty while it was not.
    #[serde(deserialize_with = "or_default")]
    pub node_name: Box<str>,
    /// Shares the node's network.
    #[serde(deserialize_with = "or_default")]
    pub host_network: bool,
    /// The regular containers.
    #[serde(deserialize_with = "or_default")]
    pub containers: Vec<Container>,
    /// Conditions that others set.
    #[serde(deserialize_with = "or_default")]
    pub readiness_gates: Vec<ReadinessGate>,
}

/// A condition that somebody else than the kubelet sets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessGate {
    /// The condition's type.
    pub condition_type: Box<str>,
}

/// A regular container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// Name.
    pub name: Box<str>,
    /// Image, which tells a known application.
    #[serde(deserialize_with = "or_default")]
    pub image: Box<str>,
    /// The declared ports.
    #[serde(deserialize_with = "or_default")]
    pub ports: Vec<ContainerPort>,
    /// The probe that the kubelet runs.
    pub readiness_probe: Option<ReadinessProbe>,
}

impl Container {
    /// The number of a port, which it may give by a name that the container declares.
    pub fn number_of(&self, port: &PortRef) -> Option<i32> {
        match port {
            PortRef::Number(number) => Some(*number),
            PortRef::Name(name) => self.ports.iter().find(|port| port.name == *name).map(|port| port.container_port),
        }
    }
}

/// A declared port.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerPort {
    /// Name; may be empty.
    #[serde(deserialize_with = "or_default")]
    pub name: Box<str>,
    /// Number.
    pub container_port: i32,
}

/// A readinessProbe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ReadinessProbe {
    /// An HTTP request.
    pub http_get: Option<HttpGet>,
    /// A command.
    pub exec: Option<Present>,
    /// A connection.
    pub tcp_socket: Option<Present>,
    /// A gRPC health request.
    pub grpc: Option<Present>,
    /// Seconds; one when absent.
    pub timeout_seconds: Option<i64>,
    /// Seconds; ten when absent.
    pub period_seconds: Option<i64>,
}

impl ReadinessProbe {
    /// Seconds until the kubelet gives up, with Kubernetes' default.
    pub fn timeout(&self) -> i64 {
        self.timeout_seconds.filter(|seconds| *seconds != 0).unwrap_or(1)
    }

    /// Seconds between two probes, with Kubernetes' default.
    pub fn period(&self) -> i64 {
        self.period_seconds.filter(|seconds| *seconds != 0).unwrap_or(10)
    }
}

/// Stands for a part of which only the presence matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Present {}

/// The HTTP request of a probe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpGet {
    /// Path; empty means `/`.
    #[serde(deserialize_with = "or_default")]
    pub path: Box<str>,
    /// Port.
    pub port: PortRef,
    /// Host to connect to instead of the pod.
    #[serde(deserialize_with = "or_default")]
    pub host: Box<str>,
    /// `HTTP` (also when empty) or `HTTPS`.
    #[serde(deserialize_with = "or_default")]
    pub scheme: Box<str>,
    /// Extra headers.
    #[serde(deserialize_with = "or_default")]
    pub http_headers: Vec<HttpHeader>,
}

/// A header of a probe.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct HttpHeader {
    /// Name.
    pub name: Box<str>,
    /// Value.
    #[serde(deserialize_with = "or_default")]
    pub value: Box<str>,
}

/// What runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    #[serde(deserialize_with = "or_default")]
    pub phase: Box<str>,
    /// Why, e.g. `Evicted`.
    #[serde(deserialize_with = "or_default")]
    pub reason: Box<str>,
    /// The conditions.
    #[serde(deserialize_with = "or_default")]
    pub conditions: Vec<Condition>,
    /// Address of its node.
    #[serde(rename = "hostIP", deserialize_with = "or_default")]
    pub host_ip: Box<str>,
    /// Address.
    #[serde(rename = "podIP", deserialize_with = "or_default")]
    pub pod_ip: Box<str>,
    /// Addresses of both families.
    #[serde(rename = "podIPs", deserialize_with = "or_default")]
    pub pod_ips: Vec<PodIp>,
    /// The regular containers' states.
    #[serde(deserialize_with = "or_default")]
    pub container_statuses: Vec<ContainerStatus>,
    /// The init containers' states.
    #[serde(deserialize_with = "or_default")]
    pub init_container_statuses: Vec<ContainerStatus>,
}

/// An address of a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodIp {
    /// The address.
    pub ip: Box<str>,
}

/// A condition, as pods, nodes and custom resources have them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Condition {
    /// Type.
    #[serde(rename = "type")]
    pub type_: Box<str>,
    /// `True`, `False`, `Unknown`, or empty: the NEG controller writes a gate that waits with an empty status.
    #[serde(deserialize_with = "or_default")]
    pub status: Box<str>,
    /// One word.
    #[serde(deserialize_with = "or_default")]
    pub reason: Box<str>,
    /// A sentence.
    #[serde(deserialize_with = "or_default")]
    pub message: Box<str>,
    /// Since when; the NEG controller leaves it out.
    pub last_transition_time: Option<Timestamp>,
}

impl Condition {
    /// `status: "True"`.
    pub fn is_true(&self) -> bool {
        &*self.status == "True"
    }
}

/// A container's state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerStatus {
    /// Name.
    pub name: Box<str>,
    /// Whether its readinessProbe says yes.
    pub ready: bool,
    /// How often it was started again.
    pub restart_count: i64,
    /// What it does now.
    #[serde(deserialize_with = "or_default")]
    pub state: ContainerState,
    /// How it ended before.
    #[serde(deserialize_with = "or_default")]
    pub last_state: ContainerState,
}

/// Waiting, running or terminated.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct ContainerState {
    /// It waits.
    pub waiting: Option<Waiting>,
    /// It runs.
    pub running: Option<Running>,
    /// It ended.
    pub terminated: Option<Terminated>,
}

/// Why a container waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// `CrashLoopBackOff`, `ImagePullBackOff`, …
    #[serde(deserialize_with = "or_default")]
    pub reason: Box<str>,
    /// A sentence.
    #[serde(deserialize_with = "or_default")]
    pub message: Box<str>,
}

/// Since when a container runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    /// Its start.
    pub started_at: Option<Timestamp>,
}

/// How a container ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// `Error`, `OOMKilled`, `Completed`.
    #[serde(deserialize_with = "or_default")]
    pub reason: Box<str>,
    /// Exit code.
    pub exit_code: i64,
    /// When.
    pub finished_at: Option<Timestamp>,
}

impl Pod {
    /// A condition by type.
    pub fn condition(&self, type_: &str) -> Option<&Condition> {
        self.status.conditions.iter().find(|condition| &*condition.type_ == type_)
    }

    /// Succeeded or Failed: it runs no more.
    pub fn finished(&self) -> bool {
        matches!(&*self.status.phase, "Succeeded" | "Failed")
    }

    /// It has a node.
    pub fn scheduled(&self) -> bool {
        !self.spec.node_name.is_empty()
    }

    /// Its deletion was asked for.
    pub fn terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// Condition `Ready` is true.
    pub fn ready(&self) -> bool {
        self.condition("Ready").is_some_and(Condition::is_true)
    }

    /// Ready, or kept from Ready by the load balancer's readiness gate alone: the application itself says yes.
    pub fn serves(&self) -> bool {
        if self.finished() {
            return false;
        }
        self.ready() || (self.containers_ready() && self.gate_waits() && self.other_gates_true())
    }

    fn containers_ready(&self) -> bool {
        self.condition("ContainersReady").is_some_and(Condition::is_true)
    }

    /// Has the load balancer's readiness gate.
    pub fn gated(&self) -> bool {
        self.spec.readiness_gates.iter().any(|gate| &*gate.condition_type == NEG_READINESS_GATE)
    }

    /// Has the load balancer's readiness gate, and its condition is not true.
    pub fn gate_waits(&self) -> bool {
        self.gated() && !self.condition(NEG_READINESS_GATE).is_some_and(Condition::is_true)
    }

    fn other_gates_true(&self) -> bool {
        self.spec
            .readiness_gates
            .iter()
            .filter(|gate| &*gate.condition_type != NEG_READINESS_GATE)
            .all(|gate| self.condition(&gate.condition_type).is_some_and(Condition::is_true))
    }

    /// Since when its containers are ready: the condition's time, else when it became Ready, else its creation.
    pub fn serving_since(&self) -> Option<Timestamp> {
        ["ContainersReady", "Ready"]
            .into_iter()
            .filter_map(|type_| self.condition(type_))
            .filter(|condition| condition.is_true())
            .find_map(|condition| condition.last_transition_time)
            .or(self.metadata.creation_timestamp)
    }

    /// Whether `address` is one of its own.
    pub fn has_address(&self, address: &str) -> bool {
        &*self.status.pod_ip == address || self.status.pod_ips.iter().any(|ip| &*ip.ip == address)
    }

    /// `namespace/name`.
    pub fn key(&self) -> String {
        format!("{}/{}", self.metadata.namespace, self.metadata.name)
    }
}

/// How many pods a workload wants, and their labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct WorkloadSpec {
    /// Wanted pods; one when absent.
    pub replicas: Option<i64>,
    /// What the pods look like.
    pub template: PodTemplate,
}

/// What a workload's pods look like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct PodTemplate {
    /// Labels are all that matters.
    pub metadata: TemplateMeta,
}

/// A template's labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TemplateMeta {
    /// Labels of the pods to be.
    #[serde(deserialize_with = "or_default")]
    pub labels: Pairs,
}

/// A Deployment, as far as a rule reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Deployment {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What is asked for.
    pub spec: WorkloadSpec,
}
kind!(Deployment, "Deployment", "apps", "v1", "deployments");

/// A StatefulSet, as far as a rule reads it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct StatefulSet {
    /// Metadata.
    pub metadata: ObjectMeta,
    /// What is asked for.
    pub spec: WorkloadSpec,
}
kind!(StatefulSet, "StatefulSet", "apps", "v1", "statefulsets");

impl Pod {
    /// What keeps the pod from being Ready, in a few words: the scheduler, a container, a probe or a gate.
    pub fn trouble(&self) -> String {
        if !self.scheduled() {
            let why = self.condition("PodScheduled").map(|condition| &*condition.message).filter(|message| !message.is_empty());
            return format!("not scheduled: {}", why.unwrap_or("no node"));
        }
        for status in self.status.init_container_statuses.iter().chain(&self.status.container_statuses) {
            if let Some(waiting) = &status.state.waiting
                && !matches!(&*waiting.reason, "" | "PodInitializing")
            {
                let last =
                    status.last_state.terminated.as_ref().map(|end| format!(", last exit {} ({})", end.exit_code, end.reason));
                return format!("container {} waits: {}{}", status.name, waiting.reason, last.unwrap_or_default());
            }
            if let Some(end) = &status.state.terminated
                && end.exit_code != 0
            {
                return format!("container {} ended with {} ({})", status.name, end.exit_code, end.reason);
            }
        }
        let unready = self.status.container_statuses.iter().find(|status| !status.ready);
        if let Some(status) = unready {
            let container = self.spec.containers.iter().find(|container| container.name == status.name);
            return match container.and_then(|container| container.readiness_probe.as_ref()) {
                Some(_) => format!("container {} fails its readinessProbe", status.name),
                None => format!("container {} is not ready", status.name),
            };
        }
        match self.condition("Ready") {
            Some(condition) if !condition.message.is_empty() => condition.message.to_string(),
            _ => "not Ready".to_owned(),
        }
    }

    /// The container that [`Pod::trouble`] names.
    pub fn troubled_container(&self) -> Option<&str> {
        self.status.container_statuses.iter().find(|status| !status.ready).map(|status| &*status.name)
    }

    /// A container was started again at least once.
    pub fn has_restarted(&self) -> bool {
        self.status.container_statuses.iter().any(|status| status.restart_count > 0)
    }

    /// A container has failed before, or waits for something that time alone does not bring.
    pub fn has_failed(&self) -> bool {
        self.has_restarted()
            || self.status.container_statuses.iter().filter_map(|status| status.state.waiting.as_ref()).any(|waiting| {
                matches!(
                    &*waiting.reason,
                    "CrashLoopBackOff"
                        | "ImagePullBackOff"
                        | "ErrImagePull"
                        | "InvalidImageName"
                        | "CreateContainerConfigError"
                        | "CreateContainerError"
                        | "RunContainerError"
                )
            })
    }
}
