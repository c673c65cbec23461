//! Applications that are known to answer Google's health check in their own way.
//!
//! Enters: the image of a container. Leaves: the mend that its users know. Never: accuses: an image proves nothing.

use crate::snapshot::kubernetes::Pod;

/// An application and how it is told to answer plain HTTP with 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct App {
    /// What people call it.
    pub name: &'static str,
    /// Words in the image's repository that tell it.
    images: &'static [&'static str],
    /// What mends a redirect to HTTPS. `{namespace}` is filled in.
    pub redirect_fix: &'static [&'static str],
}

const APPS: [App; 3] = [
    App {
        name: "Argo CD",
        images: &["argoproj/argocd", "argo-cd", "/argocd"],
        // Argo CD, docs/operator-manual/ingress.md: the API server redirects plain HTTP unless it runs with --insecure.
        redirect_fix: &[
            "run argocd-server with --insecure (server.insecure: \"true\"), and let the load balancer terminate TLS",
            "kubectl -n {namespace} patch configmap argocd-cmd-params-cm --type merge -p '{\"data\":{\"server.insecure\":\"true\"}}'",
            "kubectl -n {namespace} rollout restart deployment argocd-server",
        ],
    },
    App {
        name: "Keycloak",
        images: &["keycloak/keycloak"],
        redirect_fix: &[
            "start Keycloak with --http-enabled=true and --proxy-headers=xforwarded, and point the health check at /health/ready",
        ],
    },
    App {
        name: "GitLab",
        images: &["gitlab-webservice", "gitlab/gitlab-"],
        redirect_fix: &[
            "point the health check at /-/health, which GitLab answers without a redirect to the addresses that it allows",
        ],
    },
];

/// The words in an image by which an application is known.
pub fn mark(image: &str) -> Option<&'static str> {
    APPS.iter().flat_map(|app| app.images).copied().find(|mark| image.contains(mark))
}

/// The known application that runs in one of these pods.
pub fn known<'a>(pods: impl IntoIterator<Item = &'a Pod>) -> Option<&'static App> {
    pods.into_iter().find_map(|pod| {
        pod.spec.containers.iter().find_map(|container| {
            let repository = container.image.split(['@', ':']).next().unwrap_or_default();
            APPS.iter().find(|app| app.images.iter().any(|image| container.image.contains(image) || repository.ends_with(image)))
        })
    })
}
