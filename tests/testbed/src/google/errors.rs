//! Error bodies as Google's APIs write them.
//!
//! In: a status, a reason, a message. Out: a status and JSON. Pure.

use serde_json::{Value, json};

/// An answer of the stand-in.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Value,
    pub(super) retry_after: Option<u64>,
}

impl Answer {
    pub(super) fn ok(body: Value) -> Self {
        Self { status: 200, body, retry_after: None }
    }

    /// Compute's own, older shape: `errors[].reason`, and no `status`.
    pub(super) fn compute_error(code: u16, reason: &str, message: &str) -> Self {
        let errors = json!([{"message": message, "domain": "global", "reason": reason}]);
        Self { status: code, body: json!({"error": {"code": code, "message": message, "errors": errors}}), retry_after: None }
    }

    pub(super) fn not_found(path: &str) -> Self {
        Self::compute_error(404, "notFound", &format!("The resource '{path}' was not found"))
    }

    pub(super) fn forbidden(permission: &str, resource: &str) -> Self {
        Self::compute_error(403, "forbidden", &format!("Required '{permission}' permission for '{resource}'"))
    }

    pub(super) fn invalid(message: &str) -> Self {
        Self::compute_error(400, "invalid", message)
    }

    /// The newer shape, which the Container API uses throughout.
    pub(super) fn status_error(code: u16, status: &str, message: &str) -> Self {
        Self { status: code, body: json!({"error": {"code": code, "message": message, "status": status}}), retry_after: None }
    }

    /// What Compute answers when its read quota is used up: a 403, not a 429.
    pub(super) fn rate_limit_exceeded(with_details: bool) -> Self {
        let message = "Quota exceeded for quota metric 'Read requests' and limit 'Read requests per minute' of service \
                       'compute.googleapis.com' for consumer 'project_number:123456789012'.";
        let mut error = json!({
            "code": 403,
            "message": message,
            "errors": [{"message": message, "domain": "usageLimits", "reason": "rateLimitExceeded"}],
            "status": "PERMISSION_DENIED",
        });
        if with_details {
            error["details"] = json!([{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "RATE_LIMIT_EXCEEDED",
                "domain": "googleapis.com",
                "metadata": {
                    "service": "compute.googleapis.com",
                    "consumer": "projects/123456789012",
                    "quota_metric": "compute.googleapis.com/read_requests",
                    "quota_limit": "ReadRequestsPerMinutePerProject",
                },
            }]);
        }
        Self { status: 403, body: json!({"error": error}), retry_after: None }
    }

    pub(super) fn too_many_requests() -> Self {
        let mut answer = Self::status_error(429, "RESOURCE_EXHAUSTED", "Too many requests.");
        answer.body["error"]["errors"] =
            json!([{"message": "Too many requests.", "domain": "usageLimits", "reason": "rateLimitExceeded"}]);
        answer.retry_after = Some(1);
        answer
    }

    pub(super) fn unavailable() -> Self {
        Self::compute_error(503, "backendError", "Internal error. Please try again or contact Google Support.")
    }
}
