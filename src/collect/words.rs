//! Errors of others in one line.
//!
//! Enters: an error. Leaves: what it says and what it comes from. Never: says the same thing twice.

/// What went wrong with a request to the API server.
pub(crate) fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        error => with_sources(error),
    }
}

/// An error and what it comes from.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}
