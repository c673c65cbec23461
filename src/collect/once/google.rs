//! Google's clients, made while Kubernetes is listed: each of the SDK's takes a moment, and a single pass has none to spare.
//!
//! Enters: settings. Leaves: credentials and clients that use them, for the readers. Never: asks the Compute or the Container API; looks
//! for credentials where nothing says that there are any.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::collect::Settings;
use crate::collect::compute::Client;
use crate::collect::credentials::{self, Credentials, CredentialsMode};

/// Clients that are being made.
#[derive(Debug)]
pub struct Google(JoinHandle<Option<Prepared>>);

/// Credentials, and the Compute clients unless they could not be made: then the reader tries again, and says why not.
#[derive(Debug)]
pub struct Prepared {
    pub(in crate::collect) credentials: Arc<Credentials>,
    pub(in crate::collect) compute: Option<(u64, Client)>,
}

impl Google {
    /// Begins to make them.
    pub fn begin(settings: &Settings, in_cluster: bool) -> Self {
        let (mode, endpoint) = (settings.credentials, settings.compute_endpoint.clone());
        Self(tokio::spawn(async move {
            if mode == CredentialsMode::Default && !in_cluster && !credentials::are_there().await {
                return None;
            }
            let credentials = Arc::new(Credentials::new(mode));
            let compute = Client::connect(&endpoint, &credentials).await.ok();
            Some(Prepared { credentials, compute })
        }))
    }

    /// Waits until they are made; `None` when there are no credentials.
    pub async fn ready(self) -> Option<Prepared> {
        self.0.await.ok().flatten()
    }
}
