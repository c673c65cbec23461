//! OrganizationPolicyDenied: a policy of the organization forbids the resource, or the Compute Engine API is off.

use std::collections::BTreeSet;

use super::text::{project_flag, quote, some_of};
use super::{Answer, Check, Finding, NO_ADDRESS, Rule, Section, Severity};
use crate::topology::{Topology, events};

/// The rule.
pub static RULE: Rule = Rule {
    code: "OrganizationPolicyDenied",
    section: Section::Refused,
    severity: Severity::Error,
    symptom: false,
    unhandled: false,
    summary: "an organization policy forbids what the load balancer needs, or the Compute Engine API is switched off",
    doc: include_str!("organization_policy_denied.md"),
    explains: NO_ADDRESS,
    check: Check::Target(check),
};

/// `Constraint constraints/compute.restrictLoadBalancerCreationForTypes violated for projects/…`, or, of a constraint of the
/// organization's own, `Operation denied by custom org policy: ["customConstraints/custom.…": …]`.
fn constraint(text: &str) -> Option<&str> {
    let mark = ["customConstraints/", "constraints/"].into_iter().find(|mark| text.contains(mark))?;
    let rest = &text[text.find(mark)?..];
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"/._-".contains(c)).unwrap_or(rest.len());
    let name = rest[..end].trim_end_matches('.');
    (name.len() > mark.len()).then_some(name)
}

/// `Compute Engine API has not been used in project … before or it is disabled.`
fn api_off(text: &str) -> bool {
    text.contains("API has not been used") || text.contains("accessNotConfigured") || text.contains("SERVICE_DISABLED")
}

fn check(topology: &Topology<'_>) -> Answer {
    let said = topology.refusals(|text| constraint(text).is_some() || api_off(text))?;
    if said.is_empty() {
        return Ok(None);
    }
    let constraints: BTreeSet<_> = said.iter().filter_map(|said| constraint(said.text)).collect();
    let project = topology.project();
    let of = if project.is_empty() { "the project".to_owned() } else { format!("project {project}") };
    // The text leads to the console's page of the API.
    let api = said.iter().find_map(|said| events::between(said.text, "apis/api/", "/")).unwrap_or("compute.googleapis.com");
    let message = if constraints.is_empty() {
        format!("the API {api} is switched off in {of}, so the controller can make nothing")
    } else {
        format!("the organization's policy {} forbids in {of} what the load balancer needs", some_of(&constraints, 3))
    };
    let mut finding = Finding::certain(message);
    for said in &said {
        finding = finding.evidence(&said.place, said.text);
    }
    finding = finding.since(said.iter().filter_map(|said| said.since).min());
    if constraints.is_empty() {
        finding =
            finding.fix("switch the API on").fix(format!("gcloud services enable {}{}", quote(api), project_flag(topology)));
        return Ok(Some(finding));
    }
    finding = finding.fix(format!("ask whoever looks after the organization's policies for an exception for {of}, or use a kind of load balancer that they allow"));
    for constraint in constraints.iter().take(2).filter(|_| !project.is_empty()) {
        let name = constraint.rsplit('/').next().unwrap_or(constraint);
        finding = finding.fix(format!("gcloud org-policies describe {} --effective{}", quote(name), project_flag(topology)));
    }
    Ok(Some(finding))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_and_switched_off_apis() {
        let text = "googleapi: Error 412: Constraint constraints/compute.restrictLoadBalancerCreationForTypes violated for projects/p. Forwarding Rule projects/p/global/forwardingRules/f of type EXTERNAL_HTTP_HTTPS is not allowed., conditionNotMet";
        assert_eq!(constraint(text), Some("constraints/compute.restrictLoadBalancerCreationForTypes"));
        assert!(api_off("googleapi: Error 403: Compute Engine API has not been used in project 123 before or it is disabled."));
        let custom = r#"Error 412: Operation denied by custom org policy: ["customConstraints/custom.noExternal": "no"]., conditionNotMet"#;
        assert_eq!(constraint(custom), Some("customConstraints/custom.noExternal"));
        assert_eq!(constraint("Error 412: Invalid fingerprint., conditionNotMet"), None);
    }
}
