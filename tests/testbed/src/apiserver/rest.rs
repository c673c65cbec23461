//! The API server's REST API, as the administrator sees it.
//!
//! In: manifests, paths. Out: raw JSON. Never retries and never hides a refusal: it comes back as
//! [`Refused`].

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};

use super::ApiServer;
use super::keys::Resource;

const MANAGER: &str = "testbed";
const SERVED_LIMIT: Duration = Duration::from_secs(30);

/// The API server answered with an error.
#[derive(Debug)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
    /// The `Status` object that it sent, or its text.
    pub body: Value,
    what: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = self.body["message"].as_str().map_or_else(|| self.body.to_string(), str::to_owned);
        write!(f, "the API server answered {} to {}: {message}", self.status, self.what)
    }
}

impl std::error::Error for Refused {}

#[derive(Debug)]
pub(super) struct Rest {
    url: String,
    token: String,
    client: reqwest::Client,
    known: Mutex<HashMap<(String, String), Resource>>,
}

impl Rest {
    pub(super) fn new(url: &str, ca_pem: &str, token: &str) -> Result<Self> {
        rustls::crypto::ring::default_provider().install_default().ok();
        let authority = reqwest::Certificate::from_pem(ca_pem.as_bytes()).context("the authority's certificate is not PEM")?;
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([authority])
            .timeout(Duration::from_secs(60))
            .build()
            .context("no HTTP client")?;
        Ok(Self { url: url.to_owned(), token: token.to_owned(), client, known: Mutex::default() })
    }

    pub(super) async fn is_ready(&self) -> bool {
        let answer = self.client.get(format!("{}/readyz", self.url)).bearer_auth(&self.token).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    pub(super) async fn call(&self, method: Method, path: &str, content: Option<(&str, String)>) -> Result<Value> {
        let what = format!("{method} {path}");
        let mut request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(&self.token);
        if let Some((content_type, body)) = content {
            request = request.header("content-type", content_type).body(body);
        }
        let answer = request.send().await.with_context(|| format!("no answer to {what}"))?;
        let status = answer.status();
        let text = answer.text().await.with_context(|| format!("the answer to {what} was cut"))?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if status.is_success() { Ok(body) } else { Err(Refused { status: status.as_u16(), body, what }.into()) }
    }

    /// The resource of a kind, from discovery.
    pub(super) async fn resource(&self, object: &Value) -> Result<Resource> {
        let (Some(api_version), Some(kind)) = (object["apiVersion"].as_str(), object["kind"].as_str()) else {
            bail!("an object without apiVersion or kind: {object}");
        };
        if let Some(resource) = self.look_up(api_version, kind) {
            return Ok(resource);
        }
        let path = if api_version.contains('/') { format!("/apis/{api_version}") } else { format!("/api/{api_version}") };
        let unknown = || format!("the API server does not know {api_version} {kind}; is its CustomResourceDefinition installed?");
        let answer = self.call(Method::GET, &path, None).await.with_context(unknown)?;
        self.remember(api_version, &answer);
        self.look_up(api_version, kind).with_context(unknown)
    }

    fn look_up(&self, api_version: &str, kind: &str) -> Option<Resource> {
        self.known.lock().ok()?.get(&(api_version.to_owned(), kind.to_owned())).cloned()
    }

    fn remember(&self, api_version: &str, discovery: &Value) {
        let Ok(mut known) = self.known.lock() else {
            return;
        };
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        for entry in discovery["resources"].as_array().into_iter().flatten() {
            let (Some(plural), Some(kind)) = (entry["name"].as_str(), entry["kind"].as_str()) else {
                continue;
            };
            // Sub-resources, and kinds that belong to another group (`pods/eviction`).
            if plural.contains('/') || entry.get("group").is_some() {
                continue;
            }
            let resource = Resource {
                group: group.to_owned(),
                version: version.to_owned(),
                plural: plural.to_owned(),
                namespaced: entry["namespaced"] == Value::Bool(true),
            };
            known.insert((api_version.to_owned(), kind.to_owned()), resource);
        }
    }
}

/// Namespace, if its kind has one, and name of an object.
pub(super) fn names<'a>(resource: &Resource, object: &'a Value) -> Result<(Option<&'a str>, &'a str)> {
    let metadata = &object["metadata"];
    let name = metadata["name"].as_str().with_context(|| format!("an object without a name: {object}"))?;
    let namespace = resource.namespaced.then(|| metadata["namespace"].as_str().unwrap_or("default"));
    Ok((namespace, name))
}

impl ApiServer {
    /// One request as the administrator. `path` begins with `/api` and may have a query; a body is
    /// sent as JSON.
    ///
    /// # Errors
    /// [`Refused`] when the answer is an error; otherwise when there is no answer.
    pub async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let method = Method::from_bytes(method.as_bytes()).with_context(|| format!("{method} is not an HTTP method"))?;
        self.rest.call(method, path, body.map(|body| ("application/json", body.to_string()))).await
    }

    /// Reads an object or a list by its path.
    ///
    /// # Errors
    /// As for [`ApiServer::request`].
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.rest.call(Method::GET, path, None).await
    }

    /// Changes an object by its path with a merge patch; a sub-resource is a part of the path.
    ///
    /// # Errors
    /// As for [`ApiServer::request`].
    pub async fn patch(&self, path: &str, patch: &Value) -> Result<Value> {
        self.rest.call(Method::PATCH, path, Some(("application/merge-patch+json", patch.to_string()))).await
    }

    /// The path of an object, of which `apiVersion`, `kind` and `metadata` are read.
    ///
    /// # Errors
    /// When the API server does not know its kind.
    pub async fn path_of(&self, object: &Value) -> Result<String> {
        let resource = self.rest.resource(object).await?;
        let (namespace, name) = names(&resource, object)?;
        Ok(format!("{}/{name}", resource.path(namespace)))
    }

    /// Reads the present state of an object, of which `apiVersion`, `kind` and `metadata` are read.
    ///
    /// # Errors
    /// [`Refused`] with status 404 when it is not there.
    pub async fn read(&self, object: &Value) -> Result<Value> {
        self.get(&self.path_of(object).await?).await
    }

    /// Creates or updates an object, by server-side apply.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub async fn apply(&self, object: &Value) -> Result<Value> {
        let path = format!("{}?fieldManager={MANAGER}&force=true", self.path_of(object).await?);
        let applied = self.rest.call(Method::PATCH, &path, Some(("application/apply-patch+yaml", object.to_string()))).await?;
        if object["kind"] == "CustomResourceDefinition" {
            self.wait_until_served(object).await?;
        }
        Ok(applied)
    }

    /// Creates or updates every object of a manifest, definitions and namespaces first, and waits
    /// until new kinds are served.
    ///
    /// # Errors
    /// When it is not YAML or the API server refuses an object.
    pub async fn apply_yaml(&self, manifest: &str) -> Result<Vec<Value>> {
        let mut objects = crate::world::objects(manifest)?;
        objects.sort_by_key(|object| match object["kind"].as_str() {
            Some("CustomResourceDefinition") => 0,
            Some("Namespace") => 1,
            Some("ServiceAccount") => 2,
            _ => 3,
        });
        let mut applied = Vec::new();
        for object in &objects {
            applied.push(
                self.apply(object)
                    .await
                    .with_context(|| format!("cannot apply {} {}", object["kind"], object["metadata"]["name"]))?,
            );
        }
        Ok(applied)
    }

    /// A token of a ServiceAccount, which is made together with its namespace if it is not there.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        self.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})).await?;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": namespace, "name": name}});
        self.apply(&account).await?;
        let request =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 86400}});
        let path = format!("{}/token", self.path_of(&account).await?);
        let answer = self.request("POST", &path, Some(&request)).await?;
        answer["status"]["token"].as_str().map(str::to_owned).context("a TokenRequest without a token")
    }

    /// A definition is established a moment before its kind is served everywhere; writes in between
    /// fail.
    async fn wait_until_served(&self, definition: &Value) -> Result<()> {
        let spec = &definition["spec"];
        let (group, plural) = (spec["group"].as_str().unwrap_or_default(), spec["names"]["plural"].as_str().unwrap_or_default());
        let versions = spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] == Value::Bool(true));
        for version in versions.filter_map(|version| version["name"].as_str()) {
            self.wait_for_list(&format!("/apis/{group}/{version}"), plural).await?;
        }
        Ok(())
    }

    async fn wait_for_list(&self, root: &str, plural: &str) -> Result<()> {
        let start = Instant::now();
        loop {
            let listed = self.get(root).await.is_ok_and(|answer| {
                answer["resources"]
                    .as_array()
                    .is_some_and(|resources| resources.iter().any(|resource| resource["name"] == plural))
            });
            if listed && self.get(&format!("{root}/{plural}?limit=1")).await.is_ok() {
                return Ok(());
            }
            if start.elapsed() > SERVED_LIMIT {
                bail!("the API server did not serve {root}/{plural} within {} s", SERVED_LIMIT.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
