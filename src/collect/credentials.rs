//! Credentials for Google's APIs: one set for all clients, built anew when it has died.
//!
//! Enters: which kind is wanted. Leaves: the SDK's credentials, with a number that says which build they are; headers for requests that
//! are made without the SDK. Never: waits longer than [`TIMEOUT`]; reads a key; gives up for good, as the SDK does after one "403" of the
//! metadata server while Workload Identity is not bound yet.

use std::sync::Mutex;
use std::time::Duration;

use google_cloud_auth::credentials::{self, CacheableResource, Credentials as Sdk};
use http::{Extensions, HeaderMap};

use super::guard;

/// Longest wait for a token.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for a sign of a metadata server, which is next door or nowhere.
const METADATA_TIMEOUT: Duration = Duration::from_secs(1);

/// Which credentials are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CredentialsMode {
    /// Those of the environment: Workload Identity in GKE, else Application Default Credentials.
    #[default]
    Default,
    /// None at all, for stand-ins.
    Anonymous,
}

/// Why there are no credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// They cannot be built.
    #[error("no Google credentials: {0}")]
    Build(String),
    /// The metadata server or token endpoint refused.
    #[error("Google credentials were refused: {0}")]
    Refused(String),
    /// Nothing came in time.
    #[error("no token within {} s", TIMEOUT.as_secs())]
    Timeout,
}

/// Credentials that survive the death of one build.
#[derive(Debug)]
pub(super) struct Credentials {
    mode: CredentialsMode,
    /// Another metadata server than GKE's; only tests have one.
    metadata: Option<String>,
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    build: u64,
    sdk: Option<Sdk>,
}

impl Credentials {
    pub(super) fn new(mode: CredentialsMode) -> Self {
        Self { mode, metadata: None, current: Mutex::default() }
    }

    /// Those of the metadata server at `url`.
    #[cfg(test)]
    pub(super) fn of_metadata_server(url: &str) -> Self {
        Self { metadata: Some(url.to_owned()), ..Self::new(CredentialsMode::Default) }
    }

    /// The credentials and the number of their build. Must be called within Tokio: the SDK starts a task that renews the token.
    pub(super) fn current(&self) -> Result<(u64, Sdk), CredentialsError> {
        let mut current = guard(&self.current);
        if let Some(sdk) = &current.sdk {
            return Ok((current.build, sdk.clone()));
        }
        let sdk = self.build()?;
        current.build += 1;
        current.sdk = Some(sdk.clone());
        Ok((current.build, sdk))
    }

    /// Gives up a build that will never work again; one that was built since stays.
    pub(super) fn discard(&self, build: u64) {
        let mut current = guard(&self.current);
        if current.build == build {
            current.sdk = None;
        }
    }

    fn build(&self) -> Result<Sdk, CredentialsError> {
        // In a pod there is no key file to look for, and the metadata server need not be asked which universe this is.
        let metadata = || credentials::mds::Builder::default().with_universe_domain("googleapis.com");
        let built = match (self.mode, &self.metadata) {
            (CredentialsMode::Anonymous, _) => return Ok(credentials::anonymous::Builder::new().build()),
            (CredentialsMode::Default, Some(url)) => metadata().with_endpoint(url).build(),
            (CredentialsMode::Default, None) if in_cluster() => metadata().build(),
            (CredentialsMode::Default, None) => credentials::Builder::default().build(),
        };
        built.map_err(|error| CredentialsError::Build(error.to_string()))
    }

    /// The headers that authenticate a request.
    pub(super) async fn headers(&self) -> Result<HeaderMap, CredentialsError> {
        let (build, sdk) = self.current()?;
        match tokio::time::timeout(TIMEOUT, sdk.headers(Extensions::new())).await {
            Ok(Ok(CacheableResource::New { data, .. })) => Ok(data),
            Ok(Ok(CacheableResource::NotModified)) => Ok(HeaderMap::new()),
            Ok(Err(error)) => {
                if !error.is_transient() {
                    self.discard(build);
                }
                Err(CredentialsError::Refused(error.to_string()))
            }
            Err(_) => Err(CredentialsError::Timeout),
        }
    }
}

/// Whether application default credentials can be found outside of a pod: a file, or the metadata server of a virtual machine. Whether
/// they are of any use is another question.
pub(super) async fn are_there() -> bool {
    let named = std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").is_some();
    let usual =
        std::env::home_dir().is_some_and(|home| home.join(".config/gcloud/application_default_credentials.json").exists());
    named || usual || metadata_answers().await
}

async fn metadata_answers() -> bool {
    let host = std::env::var("GCE_METADATA_HOST").unwrap_or_else(|_| "metadata.google.internal".to_owned());
    let Ok(client) = reqwest::Client::builder().no_proxy().timeout(METADATA_TIMEOUT).build() else { return false };
    let answer = client.get(format!("http://{host}/computeMetadata/v1/")).header("metadata-flavor", "Google").send().await;
    answer.is_ok_and(|answer| answer.headers().contains_key("metadata-flavor"))
}

fn in_cluster() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() && std::env::var_os("GOOGLE_APPLICATION_CREDENTIALS").is_none()
}
