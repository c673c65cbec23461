//! The API server's own account of what it was asked.
//!
//! In: the audit log. Out: its entries. Never the requests of the administrator, who is the test.

use anyhow::{Context, Result};
use serde_json::Value;

use super::ApiServer;

/// Who asked what, when and with which result, but not the bodies; once the answer has begun or is complete.
pub(super) const POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1", "kind": "Policy", "omitStages": ["RequestReceived"],
  "rules": [{"level": "Metadata", "userGroups": ["system:serviceaccounts"]}, {"level": "None"}]
}
"#;

impl ApiServer {
    /// Every request of a ServiceAccount so far, as `audit.k8s.io/v1` Event: `verb`, `requestURI`, `objectRef`, `responseStatus`,
    /// `stage`, … A watch has two, one when it begins and one when it ends.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn audit(&self) -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(&self.audit_log).context("cannot read the audit log")?;
        // The last line may be half written.
        Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }
}
