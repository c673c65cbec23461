//! The stand-in for Google's APIs, over plain HTTP.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testbed::google::{Fault, FaultKind};
use testbed::{Google, World};

use super::world;

pub(super) struct Client {
    google: Google,
    http: reqwest::Client,
}

impl Client {
    async fn of(name: &str) -> Self {
        Self::of_world(world(name)).await
    }

    pub(super) async fn of_world(world: World) -> Self {
        rustls::crypto::ring::default_provider().install_default().ok();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).timeout(Duration::from_secs(5)).build().unwrap();
        Self { google: Google::start(world).await.unwrap(), http }
    }

    pub(super) async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.http.get(format!("{}{path}", self.google.url())).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// As the SDK asks: with its query, and below the project.
    async fn compute(&self, path: &str) -> (u16, Value) {
        let sign = if path.contains('?') { '&' } else { '?' };
        self.get(&format!("/compute/v1/projects/acme-prod/{path}{sign}%24alt=json&%24apiVersion=2026-09-01")).await
    }

    async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.post_to(&format!("projects/acme-prod/{path}"), body).await
    }

    pub(super) async fn post_to(&self, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}/compute/v1/{path}?pageToken=&%24alt=json", self.google.url());
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

pub(super) fn names(items: &Value) -> Vec<&str> {
    items.as_array().into_iter().flatten().map(|item| item["name"].as_str().unwrap()).collect()
}

fn reason(body: &Value) -> &str {
    body["error"]["errors"][0]["reason"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn aggregated_lists_have_every_scope() {
    let client = Client::of("corners").await;
    let (status, body) = client.compute("aggregated/backendServices?maxResults=500&pageToken=").await;
    assert_eq!((status, &body["kind"]), (200, &json!("compute#backendServiceAggregatedList")));
    assert_eq!(names(&body["items"]["global"]["backendServices"]), ["global-one"]);
    assert_eq!(names(&body["items"]["regions/us-central1"]["backendServices"]), ["regional-one", "regional-two"]);
    assert!(body.get("unreachables").is_none() && body.get("nextPageToken").is_none());
    let (_, body) = client.compute("aggregated/healthChecks").await;
    for scope in ["global", "regions/us-central1"] {
        assert_eq!(body["items"][scope]["warning"]["code"], "NO_RESULTS_ON_PAGE");
    }
    assert_eq!(body["items"].as_object().unwrap().len(), 2);
}

#[tokio::test]
async fn aggregated_lists_come_in_pages() {
    let client = Client::of("corners").await;
    client.google.set_page_cap(1);
    let mut token = String::new();
    let mut seen = Vec::new();
    loop {
        let (status, body) = client.compute(&format!("aggregated/backendServices?pageToken={token}")).await;
        assert_eq!(status, 200);
        for scope in body["items"].as_object().unwrap().values() {
            seen.extend(names(&scope["backendServices"]).into_iter().map(str::to_owned));
        }
        match body["nextPageToken"].as_str() {
            Some(next) => token = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, ["global-one", "regional-one", "regional-two"]);
    assert_eq!(client.google.requests().len(), 3);
    assert_eq!(client.google.requests()[0].query["pageToken"], "");
    assert_eq!(client.google.requests()[0].query["$alt"], "json");
}

#[tokio::test]
async fn a_refused_scope_is_a_hole_and_all_refused_is_an_error() {
    let client = Client::of("corners").await;
    let (status, body) = client.compute("aggregated/networkEndpointGroups").await;
    assert_eq!((status, &body["unreachables"]), (200, &json!(["zones/us-central1-b"])));
    assert_eq!(body["items"]["zones/us-central1-b"]["warning"]["code"], "UNREACHABLE");
    assert_eq!(body["items"]["zones/us-central1-a"]["networkEndpointGroups"].as_array().unwrap().len(), 3);
    let (status, body) = client.compute("aggregated/urlMaps").await;
    assert_eq!((status, reason(&body)), (403, "rateLimitExceeded"));
    assert_eq!(body["error"]["errors"][0]["domain"], "usageLimits");
    let (status, body) = client.compute("aggregated/sslCertificates").await;
    assert_eq!((status, reason(&body)), (403, "forbidden"));
    assert!(body["error"].get("status").is_none(), "Compute's own errors have none");
}

#[tokio::test]
async fn lists_and_gets() {
    let client = Client::of("corners").await;
    let (status, body) = client.compute("global/firewalls").await;
    assert_eq!((status, names(&body["items"])), (200, vec!["fw-1", "fw-2", "fw-3"]));
    let (_, body) = client.compute("global/firewalls?maxResults=2").await;
    assert_eq!(names(&body["items"]), ["fw-1", "fw-2"]);
    let (_, body) =
        client.compute(&format!("global/firewalls?maxResults=2&pageToken={}", body["nextPageToken"].as_str().unwrap())).await;
    assert_eq!(names(&body["items"]), ["fw-3"]);
    let (status, body) = client.compute("zones/us-central1-c/networkEndpointGroups").await;
    assert_eq!((status, body.get("items")), (200, None));
    let (status, body) = client.compute("regions/us-central1/backendServices/regional-one").await;
    assert_eq!((status, &body["name"]), (200, &json!("regional-one")));
    let (status, _) = client.get("/compute/v1/projects/host/regions/us-central1/subnetworks/shared").await;
    assert_eq!(status, 200);
    let (status, body) = client.compute("global/backendServices/none").await;
    assert_eq!((status, reason(&body)), (404, "notFound"));
    assert_eq!(body["error"]["message"], "The resource 'projects/acme-prod/global/backendServices/none' was not found");
    for (path, code) in [
        ("global/healthChecks/secret", 403),
        ("global/urlMaps/any", 403),
        ("zones/us-central1-b/networkEndpointGroups/any", 503),
        ("global/machines", 404),
        ("global/firewalls?filter=name+eq+x", 400),
        ("global/firewalls?pageToken=nonsense", 400),
    ] {
        assert_eq!(client.compute(path).await.0, code, "{path}");
    }
    for path in
        ["/compute/v1/projects/unknown/global/firewalls", "/compute/v1/", "/", "/compute/v2/projects/acme-prod/global/firewalls"]
    {
        let (status, body) = client.get(path).await;
        assert_eq!((status, reason(&body)), (404, "notFound"), "{path}");
    }
}

#[tokio::test]
async fn endpoints_and_their_health() {
    let client = Client::of("corners").await;
    let list = "zones/us-central1-a/networkEndpointGroups/neg-a/listNetworkEndpoints";
    let (status, body) = client.post(list, json!({"healthStatus": "SHOW"})).await;
    assert_eq!((status, body["items"].as_array().unwrap().len()), (200, 3));
    assert_eq!(body["items"][1]["healths"][0]["healthState"], "UNHEALTHY");
    let (_, body) = client.post(list, json!({"healthStatus": "SKIP"})).await;
    assert!(body["items"][1].get("healths").is_none());
    client.google.set_page_cap(2);
    let (_, body) = client.post(list, json!({})).await;
    assert_eq!(body["items"].as_array().unwrap().len(), 2);
    assert!(body["nextPageToken"].is_string());
    let (status, body) = client.post("zones/us-central1-a/networkEndpointGroups/neg-empty/listNetworkEndpoints", json!({})).await;
    assert_eq!((status, body.get("items")), (200, None));
    let (status, _) = client.post("zones/us-central1-a/networkEndpointGroups/neg-denied/listNetworkEndpoints", json!({})).await;
    assert_eq!(status, 403);
    let (status, _) = client.post("zones/us-central1-a/networkEndpointGroups/none/listNetworkEndpoints", json!({})).await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn health_of_a_backend_service() {
    let client = Client::of("corners").await;
    let path = "global/backendServices/global-one/getHealth";
    let group = |name: &str| json!({"group": format!("https://www.googleapis.com/compute/v1/projects/acme-prod/zones/us-central1-a/networkEndpointGroups/{name}")});
    let (status, body) = client.post(path, group("neg-a")).await;
    assert_eq!((status, body["healthStatus"].as_array().unwrap().len()), (200, 2));
    let (status, body) = client.post(path, group("neg-empty")).await;
    assert_eq!((status, body), (200, json!({"kind": "compute#backendServiceGroupHealth"})));
    assert_eq!(client.post(path, group("neg-denied")).await.0, 400, "it is no backend");
    assert_eq!(client.post(path, json!({})).await.0, 400);
    assert_eq!(client.post("global/backendServices/none/getHealth", group("neg-a")).await.0, 404);
    assert_eq!(client.post("global/backendServices/global-one/setSecurityPolicy", json!({})).await.0, 403);
    client.google.update(|world| world.set_health("neg-a", "HEALTHY"));
    let (_, body) = client.post(path, group("neg-a")).await;
    assert_eq!(body["healthStatus"][1]["healthState"], "HEALTHY");
}

#[tokio::test]
async fn instances_of_a_group() {
    let client = Client::of("corners").await;
    let list = |name: &str| format!("zones/us-central1-a/instanceGroups/{name}/listInstances");
    let (status, body) = client.post(&list("ig"), json!({"instanceState": "ALL"})).await;
    assert_eq!((status, &body["items"][0]["status"]), (200, &json!("RUNNING")));
    assert_eq!(client.post(&list("ig-unread"), json!({})).await.0, 403, "what was not recorded is not empty");
    let (status, body) = client.post(&list("ig-empty"), json!({})).await;
    assert_eq!((status, body.get("items")), (200, None));
}

#[tokio::test]
async fn the_cluster() {
    let path = "/v1/projects/acme-prod/locations/us-central1/clusters/prod?%24alt=json%3Benum-encoding%3Dint";
    let client = Client::of("shop").await;
    let (status, body) = client.get(path).await;
    assert_eq!((status, &body["name"]), (200, &json!("prod")));
    assert_eq!(client.get("/v1/projects/acme-prod/locations/us-central1/clusters/other").await.0, 404);
    client.google.set_world(world("corners"));
    let (status, body) = client.get(path).await;
    assert_eq!((status, &body["error"]["status"]), (403, &json!("PERMISSION_DENIED")));
}

#[tokio::test]
async fn a_world_without_compute_is_refused() {
    let client = Client::of("shop").await;
    client.google.update(|world| world.compute = None);
    for path in ["aggregated/backendServices", "global/firewalls", "global/healthChecks/x"] {
        let (status, body) = client.compute(path).await;
        assert_eq!((status, reason(&body)), (403, "forbidden"), "{path}");
    }
    assert_eq!(client.post("global/backendServices/x/getHealth", json!({})).await.0, 403);
}

#[tokio::test]
async fn faults_happen_and_pass() {
    let client = Client::of("shop").await;
    let google = &client.google;
    let path = "global/firewalls";
    google.fault(Fault::new(path, FaultKind::Status429).times(1));
    google.fault(Fault::new(path, FaultKind::RateLimitExceeded403).times(1));
    google.fault(Fault::new(path, FaultKind::RateLimitExceeded403Legacy).times(1));
    google.fault(Fault::new(path, FaultKind::Server5xx).times(1));
    let answer = client.http.get(format!("{}/compute/v1/projects/acme-prod/{path}", google.url())).send().await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (429, "1"));
    let (status, body) = client.compute(path).await;
    assert_eq!((status, body["error"]["details"][0]["reason"].as_str()), (403, Some("RATE_LIMIT_EXCEEDED")));
    let (status, body) = client.compute(path).await;
    assert_eq!((status, reason(&body), body["error"].get("details")), (403, "rateLimitExceeded", None));
    assert_eq!(client.compute(path).await.0, 503);
    assert_eq!(client.compute(path).await.0, 200);

    let url = format!("{}/compute/v1/projects/acme-prod/{path}", google.url());
    google.fault(Fault::new("", FaultKind::Garbage).times(1));
    let answer = client.http.get(&url).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert!(answer.json::<Value>().await.unwrap_err().is_decode());
    google.fault(Fault::new("", FaultKind::CutBody).times(1));
    let answer = client.http.get(&url).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert!(answer.bytes().await.is_err());
    google.fault(Fault::new("", FaultKind::Hang));
    let start = Instant::now();
    let error = client.http.get(&url).timeout(Duration::from_millis(300)).send().await.unwrap_err();
    assert!(error.is_timeout() && start.elapsed() < Duration::from_secs(3));
    google.clear_faults();
    assert_eq!(client.compute(path).await.0, 200);
}

#[tokio::test]
async fn requests_are_counted() {
    let client = Client::of("shop").await;
    client.google.set_latency(Duration::from_millis(300));
    let start = Instant::now();
    tokio::join!(client.compute("global/firewalls"), client.compute("global/firewalls"), client.compute("global/firewalls"));
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(client.google.most_in_flight(), 3);
    assert_eq!(client.google.in_flight(), 0);
    let requests = client.google.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].path, "/compute/v1/projects/acme-prod/global/firewalls");
    client.google.clear_requests();
    assert!(client.google.requests().is_empty());
    assert_eq!(client.google.most_in_flight(), 0);
}

#[tokio::test]
async fn nothing_answers_after_the_end() {
    let Client { google, http } = Client::of("shop").await;
    let url = format!("{}/compute/v1/projects/acme-prod/global/firewalls", google.url());
    assert_eq!(http.get(&url).send().await.unwrap().status().as_u16(), 200);
    google.fault(Fault::new("", FaultKind::Hang).times(1));
    let hanging = tokio::spawn(http.get(&url).send());
    while google.in_flight() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(google);
    assert_eq!(hanging.await.unwrap().unwrap().status().as_u16(), 503);
    assert!(http.get(&url).send().await.unwrap_err().is_connect(), "not even on an old connection");
}
