//! The `gcloud` command that GKE's controller asks a security admin to run.
//!
//! Enters: the text of an `XPN` event. Leaves: what the rule should be. Never: hands the foreign text on as a command.
//! Source: ingress-gce `pkg/firewalls/firewalls.go` (`newFirewallXPNError`), the cloud provider's `FirewallToGCloudCreateCmd`.

use ipnet::Ipv4Net;

use super::firewall::{ipv4_block, port_range};

/// What stands before the command in the event.
const PREFIX: &str = "Firewall change required by security admin: ";

/// What is to be done to the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It is absent.
    Create,
    /// It differs.
    Update,
}

/// A rule that the controller may not write itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What is to be done.
    pub action: Action,
    /// The rule's name.
    pub name: String,
    /// The host project; empty when the command names none.
    pub project: String,
    /// Name of the network; empty in an update.
    pub network: String,
    /// Description.
    pub description: String,
    /// `tcp:8080`, `tcp:30000-32767`.
    pub allow: Vec<String>,
    /// Address blocks.
    pub source_ranges: Vec<String>,
    /// Tags of the nodes.
    pub target_tags: Vec<String>,
}

impl Command {
    /// The command in an event's text; `None` for another text, and for the deletion of a rule.
    pub fn parse(message: &str) -> Option<Self> {
        let text = message.strip_prefix(PREFIX)?.trim().trim_matches('`');
        let words = words(text);
        let mut rest = words.iter().map(String::as_str);
        for expected in ["gcloud", "compute", "firewall-rules"] {
            rest.next().filter(|word| *word == expected)?;
        }
        let action = match rest.next()? {
            "create" => Action::Create,
            "update" => Action::Update,
            _ => return None,
        };
        let name = rest.next().filter(|name| !name.starts_with('-'))?.to_owned();
        let mut command = Self {
            action,
            name,
            project: String::new(),
            network: String::new(),
            description: String::new(),
            allow: Vec::new(),
            source_ranges: Vec::new(),
            target_tags: Vec::new(),
        };
        while let Some(word) = rest.next() {
            let (flag, value) = match word.split_once('=') {
                Some((flag, value)) => (flag, value),
                None => (word, rest.next()?),
            };
            let list = || value.split(',').filter(|item| !item.is_empty()).map(str::to_owned).collect();
            match flag {
                "--project" => command.project = value.to_owned(),
                "--network" => command.network = value.to_owned(),
                "--description" => command.description = value.to_owned(),
                "--allow" => command.allow = list(),
                "--source-ranges" => command.source_ranges = list(),
                "--target-tags" => command.target_tags = list(),
                _ => {}
            }
        }
        Some(command)
    }

    /// The ranges of TCP ports that it opens.
    pub fn ports(&self) -> Vec<(u16, u16)> {
        self.allow.iter().filter_map(|entry| port_range(entry.strip_prefix("tcp:")?)).collect()
    }

    /// The IPv4 blocks that it lets in.
    pub fn sources(&self) -> Vec<Ipv4Net> {
        self.source_ranges.iter().filter_map(|text| ipv4_block(text)).collect()
    }
}

/// The words of a command line; double quotes keep spaces, a backslash the character behind it.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut quoted, mut began) = (false, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                began = true;
            }
            '\\' => word.extend(chars.next()),
            c if c.is_whitespace() && !quoted => {
                if began || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                began = false;
            }
            c => word.push(c),
        }
    }
    if began || !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_to_create() {
        let command = Command::parse(
            "Firewall change required by security admin: `gcloud compute firewall-rules create k8s-fw-l7--1 --network shared \
             --description \"GCE L7 firewall rule\" --allow tcp:30000-32767,tcp:8080 --source-ranges 130.211.0.0/22,35.191.0.0/16 \
             --target-tags gke-prod-5e2b9c41-node --project host`",
        )
        .unwrap();
        assert_eq!((command.action, &*command.name, &*command.project), (Action::Create, "k8s-fw-l7--1", "host"));
        assert_eq!((&*command.network, &*command.description), ("shared", "GCE L7 firewall rule"));
        assert_eq!(command.ports(), [(30000, 32767), (8080, 8080)]);
        assert_eq!(command.sources().len(), 2);
    }

    #[test]
    fn other_texts() {
        let prefix = "Firewall change required by security admin: ";
        assert_eq!(Command::parse(&format!("{prefix}`gcloud compute firewall-rules delete k8s-fw-l7--1 --project host`")), None);
        assert_eq!(Command::parse(&format!("{prefix}`rm -rf /`")), None);
        assert_eq!(Command::parse("Scheduled for sync"), None);
        assert_eq!(Command::parse(&format!("{prefix}`gcloud compute firewall-rules update k8s --allow`")), None);
    }
}
