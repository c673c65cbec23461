//! Trouble on demand.
//!
//! In: what should go wrong, and where. Out: for a request, what goes wrong with it. Counts down
//! what is limited.

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// 429 with `Retry-After: 1`.
    Status429,
    /// Compute's usual quota error: 403 `rateLimitExceeded`, with the newer `details`.
    RateLimitExceeded403,
    /// The same, as it was before `details`.
    RateLimitExceeded403Legacy,
    /// 503 `backendError`.
    Server5xx,
    /// The request is read and never answered.
    Hang,
    /// 200 with a body that is not JSON.
    Garbage,
    /// 200 with half of the body, then the connection is cut.
    CutBody,
}

/// A fault, and the requests that it hits.
#[derive(Clone, Debug)]
pub struct Fault {
    /// A part of the path; empty hits all.
    pub path_contains: String,
    /// The HTTP method; `None` hits all.
    pub method: Option<String>,
    /// How often; `None` is until [`super::Google::clear_faults`].
    pub times: Option<u32>,
    /// What goes wrong.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault of every request whose path contains `path_contains`.
    #[must_use]
    pub fn new(path_contains: &str, kind: FaultKind) -> Self {
        Self { path_contains: path_contains.to_owned(), method: None, times: None, kind }
    }

    /// The same, a number of times.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    fn hits(&self, method: &str, path: &str) -> bool {
        path.contains(&self.path_contains) && self.method.as_deref().is_none_or(|of| of.eq_ignore_ascii_case(method))
    }
}

/// The fault that hits a request, used up by one.
pub(super) fn take(faults: &mut Vec<Fault>, method: &str, path: &str) -> Option<FaultKind> {
    let at = faults.iter().position(|fault| fault.hits(method, path) && fault.times != Some(0))?;
    let fault = &mut faults[at];
    let kind = fault.kind;
    if let Some(times) = &mut fault.times {
        *times -= 1;
        if *times == 0 {
            faults.remove(at);
        }
    }
    Some(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_count_down_and_take_turns() {
        let mut faults = vec![
            Fault { method: Some("POST".into()), ..Fault::new("/getHealth", FaultKind::Hang) },
            Fault::new("", FaultKind::Server5xx).times(2),
        ];
        assert_eq!(take(&mut faults, "post", "/x/getHealth"), Some(FaultKind::Hang));
        assert_eq!(take(&mut faults, "GET", "/x/getHealth"), Some(FaultKind::Server5xx));
        assert_eq!(take(&mut faults, "GET", "/y"), Some(FaultKind::Server5xx));
        assert_eq!(take(&mut faults, "GET", "/y"), None);
        assert_eq!(take(&mut faults, "POST", "/x/getHealth"), Some(FaultKind::Hang));
    }
}
