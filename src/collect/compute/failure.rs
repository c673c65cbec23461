//! Why a read of the Compute API failed, in the few words that the rest needs.
//! Enters: an error of the SDK. Leaves: a [`Failure`]. Never: takes a throttled or broken answer for a refusal.

use std::error::Error as _;
use std::time::Duration;

use google_cloud_gax::error::rpc::StatusDetails;
use google_cloud_gax::error::{CredentialsError, Error};
use jiff::Timestamp;
use jiff::fmt::rfc2822;

use crate::collect::with_sources;
use crate::snapshot::compute::ApiError;

/// Longest message that is kept.
const MESSAGE_LIMIT: usize = 500;

/// Whoever asks for more is asked again after this time all the same.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// Reasons that mean "slower", whatever the status code says.
const RATE_LIMITS: [&str; 4] = ["rateLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "RATE_LIMIT_EXCEEDED"];

/// What follows from a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The API said no and will say so again.
    Refused,
    /// The API does not know the resource.
    NotFound,
    /// The API wants fewer requests.
    RateLimited,
    /// The API is unwell, or the answer did not come or was not complete.
    Unwell,
    /// There is no token now.
    NoToken,
    /// There will never be a token with these credentials.
    DeadCredentials,
}

/// Why a read failed.
#[derive(Debug, Clone)]
pub(in crate::collect) struct Failure {
    pub(super) class: Class,
    /// HTTP status; 0 when there was none.
    pub(super) code: u16,
    pub(super) reason: Box<str>,
    pub(super) message: Box<str>,
    /// What the API asked us to wait.
    pub(super) retry_after: Option<Duration>,
}

impl Failure {
    /// Nothing came in time.
    pub(super) fn timeout(after: Duration) -> Self {
        Self::without_answer(Class::Unwell, "Timeout", format!("no answer within {} s", after.as_secs()))
    }

    /// There was no HTTP answer at all.
    pub(super) fn without_answer(class: Class, reason: &str, message: String) -> Self {
        Self { class, code: 0, reason: reason.into(), message: short(message), retry_after: None }
    }

    /// The word for a metric: the status, or why there is none.
    pub(super) fn label(&self) -> Box<str> {
        if self.code == 0 { self.reason.clone() } else { self.code.to_string().into() }
    }

    /// The form in which a snapshot keeps it.
    pub(super) fn to_error(&self) -> ApiError {
        ApiError { code: self.code, reason: self.reason.clone(), message: self.message.clone() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if let Some(credentials) = credentials_error(&error) {
            let class = if credentials.is_transient() { Class::NoToken } else { Class::DeadCredentials };
            return Self::without_answer(class, "NoCredentials", credentials.to_string());
        }
        let Some(code) = error.http_status_code().filter(|code| *code >= 300) else {
            let reason = match () {
                () if error.is_timeout() => "Timeout",
                () if error.is_deserialization() => "Malformed",
                () => "Unreachable",
            };
            return Self::without_answer(Class::Unwell, reason, with_sources(&error));
        };
        let (reason, message) = words(&error, code);
        let class = match code {
            _ if code == 429 || RATE_LIMITS.contains(&&*reason) => Class::RateLimited,
            401 => Class::DeadCredentials,
            404 => Class::NotFound,
            500.. | 408 => Class::Unwell,
            _ => Class::Refused,
        };
        let retry_after = error.http_headers().and_then(|headers| headers.get("retry-after")?.to_str().ok());
        let retry_after = retry_after.and_then(|text| wait(text, Timestamp::now()));
        Self { class, code, reason, message, retry_after }
    }
}

/// What `Retry-After` asks for: seconds, or a date.
fn wait(text: &str, now: Timestamp) -> Option<Duration> {
    let wait = match text.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = rfc2822::parse(text.trim()).ok()?.timestamp();
            Duration::try_from(date.duration_since(now)).unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

/// The API's own reason and message; for an answer in another form, what there is of it.
fn words(error: &Error, code: u16) -> (Box<str>, Box<str>) {
    let default = match code {
        403 => "forbidden",
        404 => "notFound",
        429 => "rateLimitExceeded",
        500.. => "backendError",
        _ => "",
    };
    let Some(status) = error.status() else {
        let payload = error.http_payload().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default();
        return (default.into(), short(payload));
    };
    let reason = status.details.iter().find_map(|detail| match detail {
        StatusDetails::ErrorInfo(info) if !info.reason.is_empty() => Some(info.reason.as_str()),
        _ => None,
    });
    (reason.unwrap_or(default).into(), short(status.message.clone()))
}

fn credentials_error(error: &Error) -> Option<&CredentialsError> {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(credentials) = error.downcast_ref::<CredentialsError>() {
            return Some(credentials);
        }
        source = error.source();
    }
    None
}

fn short(mut text: String) -> Box<str> {
    text.truncate(text.floor_char_boundary(MESSAGE_LIMIT));
    text.into()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;

    use super::wait;

    #[test]
    fn what_the_api_asks_to_wait_is_understood_in_both_forms() {
        let now: Timestamp = "2026-03-03T08:49:07Z".parse().expect("a time");
        let seconds = |text| wait(text, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("17"), Some(17));
        assert_eq!(seconds("Tue, 03 Mar 2026 08:49:37 GMT"), Some(30));
        assert_eq!(seconds("Tue, 03 Mar 2026 08:00:00 GMT"), Some(0), "a date that has passed");
        assert_eq!(wait("99999999", now), Some(Duration::from_secs(600)));
        assert_eq!(seconds("soon"), None);
    }
}
