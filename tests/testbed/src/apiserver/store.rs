//! Objects straight into etcd, so that uid, status and every timestamp stay as they were recorded.
//!
//! In: whole objects as JSON. Out: the same through the API. Never through admission or validation:
//! what is put is believed.
//!
//! What the API server keeps beside Services (addresses, node ports, ranges) is written along with
//! them; otherwise it repairs them, and says so in Events that nobody recorded.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ipnet::IpNet;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::ApiServer;
use super::rest::names;

const ADDRESSES: &str = "/registry/ipaddresses";
const RANGES: &str = "/registry/servicecidrs";
const NODE_PORTS: &str = "/registry/ranges/servicenodeports";
const NODE_PORT_BASE: usize = 30000;
const SEEN_LIMIT: Duration = Duration::from_secs(30);

impl ApiServer {
    /// Writes objects as they are, in their order. Only `metadata.resourceVersion` is the API
    /// server's own.
    ///
    /// # Errors
    /// When a kind is not known or etcd refuses.
    pub async fn put(&self, objects: &[Value]) -> Result<()> {
        let services: Vec<&Value> = objects.iter().filter(|object| is_service(object)).collect();
        self.put_ranges(&services).await?;
        self.put_addresses(&services).await?;
        self.put_node_ports(&services).await?;
        let mut pairs = Vec::with_capacity(objects.len());
        for object in objects {
            pairs.push((self.key(object).await?, stored(object)));
        }
        self.etcd.put(pairs).await
    }

    /// Removes objects, of which `apiVersion`, `kind` and `metadata` are read, without regard to
    /// finalizers.
    ///
    /// # Errors
    /// When a kind is not known or etcd refuses.
    pub async fn delete(&self, objects: &[Value]) -> Result<()> {
        let mut keys = Vec::with_capacity(objects.len());
        for object in objects {
            keys.push(self.key(object).await?);
        }
        // Addresses go last: those of a living Service would be repaired.
        let addresses =
            objects.iter().filter(|object| is_service(object)).flat_map(addresses).map(|ip| format!("{ADDRESSES}/{ip}"));
        keys.extend(addresses);
        self.etcd.delete(keys).await
    }

    /// Removes all Events of a namespace.
    ///
    /// # Errors
    /// When etcd refuses.
    pub async fn delete_events(&self, namespace: &str) -> Result<()> {
        self.etcd.delete_below(&format!("/registry/events/{namespace}/")).await
    }

    async fn key(&self, object: &Value) -> Result<String> {
        let resource = self.rest.resource(object).await?;
        let (namespace, name) = names(&resource, object)?;
        Ok(resource.key(namespace, name))
    }

    /// Ranges for addresses that no range of this server holds.
    async fn put_ranges(&self, services: &[&Value]) -> Result<()> {
        let known = self.get("/apis/networking.k8s.io/v1/servicecidrs").await?;
        let cidrs = known["items"]
            .as_array()
            .into_iter()
            .flatten()
            .flat_map(|range| range["spec"]["cidrs"].as_array().into_iter().flatten());
        let mut ranges: Vec<IpNet> = cidrs.filter_map(|cidr| cidr.as_str()?.parse().ok()).collect();
        let mut missing = Vec::new();
        for ip in services.iter().copied().flat_map(addresses) {
            if ranges.iter().any(|range| range.contains(&ip)) {
                continue;
            }
            let range = IpNet::new(ip, if ip.is_ipv4() { 20 } else { 112 }).context("a range for a ClusterIP")?.trunc();
            missing.push((format!("{RANGES}/testbed-{}", missing.len() + ranges.len()), range));
            ranges.push(range);
        }
        self.etcd.put(missing.into_iter().map(|(key, range)| (key.clone(), range_object(&key, range).to_string()))).await
    }

    async fn put_addresses(&self, services: &[&Value]) -> Result<()> {
        let mut expected = BTreeSet::new();
        let mut pairs = Vec::new();
        for service in services {
            for ip in addresses(service) {
                expected.insert(ip.to_string());
                pairs.push((format!("{ADDRESSES}/{ip}"), address_object(service, ip)?.to_string()));
            }
        }
        if pairs.is_empty() {
            return Ok(());
        }
        self.etcd.put(pairs).await?;
        self.wait_until_cached(&expected).await
    }

    /// The repair reads from a cache; what is not in it yet counts as missing.
    async fn wait_until_cached(&self, addresses: &BTreeSet<String>) -> Result<()> {
        let start = Instant::now();
        loop {
            let cached = self.get("/apis/networking.k8s.io/v1/ipaddresses?resourceVersion=0").await?;
            let names: BTreeSet<&str> = cached["items"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|address| address["metadata"]["name"].as_str())
                .collect();
            if addresses.iter().all(|address| names.contains(address.as_str())) {
                break;
            }
            if start.elapsed() > SEEN_LIMIT {
                bail!("the API server does not see the addresses that were put for Services");
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // From that cache to the repair's own there is one more step, in the same process.
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok(())
    }

    async fn put_node_ports(&self, services: &[&Value]) -> Result<()> {
        let ports: Vec<usize> = services.iter().copied().flat_map(node_ports).collect();
        if ports.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        loop {
            if let Some(range) = self.etcd.get(NODE_PORTS).await? {
                let mut allocation: Value =
                    serde_json::from_slice(&range.value).context("the node ports are not kept as JSON")?;
                let bits =
                    BASE64.decode(allocation["data"].as_str().unwrap_or_default()).context("the node ports are not base64")?;
                allocation["data"] = BASE64.encode(with_bits(bits, &ports)).into();
                if self.etcd.replace(NODE_PORTS, allocation.to_string().as_bytes(), &range.revision).await? {
                    return Ok(());
                }
            }
            if start.elapsed() > SEEN_LIMIT {
                bail!("the API server keeps no record of node ports, or changes it all the time");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn is_service(object: &Value) -> bool {
    object["apiVersion"] == "v1" && object["kind"] == "Service"
}

fn stored(object: &Value) -> String {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    object.to_string()
}

fn addresses(service: &Value) -> Vec<IpAddr> {
    let spec = &service["spec"];
    let several = spec["clusterIPs"].as_array().into_iter().flatten();
    let all: BTreeSet<IpAddr> = several.chain([&spec["clusterIP"]]).filter_map(|ip| ip.as_str()?.parse().ok()).collect();
    all.into_iter().collect()
}

fn node_ports(service: &Value) -> Vec<usize> {
    let spec = &service["spec"];
    let ports = spec["ports"].as_array().into_iter().flatten().map(|port| &port["nodePort"]);
    ports.chain([&spec["healthCheckNodePort"]]).filter_map(|port| usize::try_from(port.as_u64()?).ok()).collect()
}

/// The record is one big number, its most significant byte first; bit 0 is port 30000.
fn with_bits(big_endian: Vec<u8>, ports: &[usize]) -> Vec<u8> {
    let mut bytes: Vec<u8> = big_endian.into_iter().rev().collect();
    for bit in ports.iter().filter_map(|port| port.checked_sub(NODE_PORT_BASE)) {
        let (byte, mask) = (bit / 8, 1u8 << (bit % 8));
        if bytes.len() <= byte {
            bytes.resize(byte + 1, 0);
        }
        bytes[byte] |= mask;
    }
    bytes.reverse();
    bytes
}

fn address_object(service: &Value, ip: IpAddr) -> Result<Value> {
    let metadata = &service["metadata"];
    Ok(json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {
            "name": ip.to_string(),
            "uid": random_uid()?,
            "creationTimestamp": now(), // one without its Service is tolerated while it is young
            "labels": {
                "ipaddress.kubernetes.io/ip-family": if ip.is_ipv4() { "IPv4" } else { "IPv6" },
                "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
            },
        },
        "spec": {"parentRef": {"group": "", "resource": "services", "namespace": metadata["namespace"], "name": metadata["name"]}},
    }))
}

fn range_object(key: &str, range: IpNet) -> Value {
    let name = key.rsplit('/').next().unwrap_or(key);
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "ServiceCIDR",
        "metadata": {"name": name, "creationTimestamp": now()},
        "spec": {"cidrs": [range.to_string()]},
        "status": {"conditions": [{
            "type": "Ready", "status": "True", "reason": "", "message": "Kubernetes Service CIDR is ready", "lastTransitionTime": now(),
        }]},
    })
}

fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn random_uid() -> Result<String> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(|error| anyhow::anyhow!("no random numbers: {error}"))?;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ports_are_bits_of_a_number() {
        assert_eq!(with_bits(vec![], &[30000]), [1]);
        assert_eq!(with_bits(vec![0b10], &[30009, 30000]), [0b10, 0b11]);
        assert_eq!(with_bits(vec![1], &[80]), [1], "a port outside of the range is left out");
    }

    #[test]
    fn headless_services_have_no_address() {
        assert!(addresses(&json!({"spec": {"clusterIP": "None", "clusterIPs": ["None"]}})).is_empty());
        let dual = json!({"spec": {"clusterIP": "10.8.0.1", "clusterIPs": ["10.8.0.1", "fd00::1"]}});
        assert_eq!(addresses(&dual).len(), 2);
    }
}
