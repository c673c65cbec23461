//! A healthy world of any size, made as GKE's controllers would make it.

use std::sync::Arc;

use ingress_diagnosis::snapshot::compute::{NetworkEndpoint, normalise};
use ingress_diagnosis::snapshot::{Compute, Kubernetes, Meta, Observed, Probes, Snapshot};
use ingress_diagnosis::topology::naming::ClusterIds;
use serde_json::json;

const PROJECT: &str = "acme-prod";
const ZONES: [&str; 3] = ["europe-west4-a", "europe-west4-b", "europe-west4-c"];
const UID: &str = "0123456789abcdef";

/// One Ingress `shop/web` with so many backends, each with so many pods and healthy endpoints.
pub fn healthy(backends: usize, endpoints_each: usize) -> Snapshot {
    let mut kubernetes = Kubernetes::default();
    let mut compute = Compute { read: true, ..Compute::default() };
    let ids = ClusterIds { uid: Some(UID.into()), short_uid: None, firewall: None, kube_system: Some("ks".into()) };
    let mut insert = |object| kubernetes.insert_json(object).unwrap();

    insert(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "kube-system", "name": "ingress-uid"}, "data": {"uid": UID}}),
    );
    insert(
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"namespace": "kube-system", "name": "ingress-gce-lock"},
        "spec": {"renewTime": "2026-11-01T12:00:00.000000Z"}}),
    );
    let paths: Vec<_> = (0..backends)
        .map(|at| json!({"path": format!("/{at}"), "pathType": "Prefix", "backend": {"service": {"name": format!("web-{at}"), "port": {"number": 80}}}}))
        .collect();
    let default = json!({"service": {"name": "web-0", "port": {"number": 80}}});
    insert(json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"namespace": "shop", "name": "web", "uid": "i", "creationTimestamp": "2026-10-01T12:00:00Z", "finalizers": ["networking.gke.io/ingress-finalizer-V2"]},
        "spec": {"defaultBackend": default, "rules": [{"http": {"paths": paths}}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}}));
    for zone in ZONES {
        insert(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": format!("node-{zone}")},
            "spec": {"providerID": format!("gce://{PROJECT}/{zone}/node-{zone}"), "podCIDRs": ["10.4.0.0/14"]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}}));
    }
    for at in 0..backends {
        let service = format!("web-{at}");
        insert(
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": "shop", "name": service, "annotations": {"cloud.google.com/neg": "{\"ingress\": true}"}},
            "spec": {"type": "ClusterIP", "selector": {"app": service}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}),
        );
        let name = ids.neg("shop", &service, 80).unwrap();
        let mut slice = Vec::new();
        let mut members: [Vec<serde_json::Value>; 3] = Default::default();
        let backend_service = format!("projects/{PROJECT}/global/backendServices/{name}");
        for number in 0..endpoints_each {
            let ip = format!("10.{}.{}.{}", 4 + at / 250, at % 250, number % 250 + 1);
            let ip = if number >= 250 { format!("10.{}.{}.{}", 64 + number / 250, at % 250, number % 250 + 1) } else { ip };
            let pod = format!("{service}-{number}");
            let zone = number % 3;
            let since = "2026-10-01T12:00:30Z";
            insert(
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": "shop", "name": pod, "labels": {"app": service}, "creationTimestamp": "2026-10-01T12:00:00Z"},
                "spec": {"nodeName": format!("node-{}", ZONES[zone]), "containers": [{"name": "web", "image": "web", "ports": [{"containerPort": 8080}],
                    "readinessProbe": {"httpGet": {"path": "/healthz", "port": 8080}}}], "readinessGates": [{"conditionType": "cloud.google.com/load-balancer-neg-ready"}]},
                "status": {"phase": "Running", "podIP": ip, "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": since}, {"type": "ContainersReady", "status": "True", "lastTransitionTime": since},
                    {"type": "cloud.google.com/load-balancer-neg-ready", "status": "True", "reason": "LoadBalancerNegReady"}]}}),
            );
            slice.push(json!({"addresses": [ip], "conditions": {"ready": true}, "nodeName": format!("node-{}", ZONES[zone]), "targetRef": {"kind": "Pod", "name": pod}}));
            members[zone]
                .push(json!({"networkEndpoint": {"ipAddress": ip, "port": 8080, "instance": format!("node-{}", ZONES[zone])},
                "healths": [{"backendService": {"backendService": backend_service}, "healthState": "HEALTHY"}]}));
        }
        for (part, endpoints) in slice.chunks(100).enumerate() {
            insert(
                json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": endpoints,
                "metadata": {"namespace": "shop", "name": format!("{service}-{part}"), "labels": {"kubernetes.io/service-name": service}},
                "ports": [{"name": "http", "port": 8080}]}),
            );
        }
        let groups: Vec<_> =
            ZONES.iter().map(|zone| format!("projects/{PROJECT}/zones/{zone}/networkEndpointGroups/{name}")).collect();
        let links: Vec<_> =
            groups.iter().map(|group| json!({"group": format!("https://www.googleapis.com/compute/v1/{group}")})).collect();
        let health_check = format!("projects/{PROJECT}/global/healthChecks/{name}");
        compute
            .insert_json(
                &backend_service,
                json!({"name": name, "protocol": "HTTP", "backends": links, "healthChecks": [health_check]}),
            )
            .unwrap();
        compute
            .insert_json(
                &health_check,
                json!({"name": name, "type": "HTTP", "checkIntervalSec": 10, "timeoutSec": 1, "healthyThreshold": 1, "unhealthyThreshold": 2,
                    "description": "Kubernetes L7 health check generated with readiness probe settings.",
                    "httpHealthCheck": {"portSpecification": "USE_SERVING_PORT", "requestPath": "/healthz"}}),
            )
            .unwrap();
        for (group, members) in groups.iter().zip(members) {
            let size = members.len();
            compute.insert_json(group, json!({"name": name, "size": size, "networkEndpointType": "GCE_VM_IP_PORT"})).unwrap();
            let members: Vec<NetworkEndpoint> =
                members.into_iter().map(|member| serde_json::from_value(member).unwrap()).collect();
            compute.endpoints.insert(normalise(group, PROJECT).into(), Arc::new(members));
        }
    }
    let meta = Meta {
        taken_at: "2026-11-01T12:00:00Z".parse().unwrap(),
        project: PROJECT.into(),
        cluster_name: "prod".into(),
        cluster_location: "europe-west4".into(),
    };
    Snapshot { meta, kubernetes, compute, cluster: Observed::default(), probes: Probes::default() }
}
