//! Rewrites one text: what is known stays, addresses, identities and words become others.
//!
//! Enters: names, paths, hosts, messages. Leaves: the same texts about others. Never: leaves a word that it does not know.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::address;
use super::vocabulary::{self, Vocabulary};
use super::words::Words;

/// Names that stand for others, and how the rest is rewritten.
pub(super) struct Rewriter {
    key: [u8; 32],
    words: Words,
    vocabulary: Vocabulary,
    /// The addresses that were replaced, and the lengths of blocks.
    addresses: RefCell<BTreeSet<(IpAddr, Option<u32>)>>,
    /// Names that GKE derives from others, with what it derives from the new ones.
    pub(super) derived: BTreeMap<String, String>,
    /// The names of all objects.
    pub(super) names: BTreeSet<String>,
}

/// Numbers of at least so many digits may identify somebody.
const LONG_NUMBER: usize = 6;

impl Rewriter {
    pub(super) fn new(key: [u8; 32]) -> Self {
        let words = Words::new(key);
        let (addresses, derived, names) = Default::default();
        Self { key, words, vocabulary: Vocabulary::new(), addresses, derived, names }
    }

    /// How many of the words and addresses that were replaced another key would leave as they are, or make into others of them: somebody
    /// could take the one for the other. What stays with every key counts with every key.
    pub(super) fn clashes(&self, key: [u8; 32]) -> usize {
        let addresses = self.addresses.borrow();
        let taken = |(address, length): &&(IpAddr, Option<u32>)| {
            addresses.contains(&(address::replace(&key, *address, *length), *length))
        };
        self.words.clashes(key) + addresses.iter().filter(taken).count()
    }

    fn replace_address(&self, address: IpAddr, length: Option<u32>) -> IpAddr {
        self.addresses.borrow_mut().insert((address, length));
        address::replace(&self.key, address, length)
    }

    /// A name, a path, a host: nothing stays but the words that everybody uses.
    pub(super) fn name(&self, text: &str) -> String {
        self.rewrite(text, &|word| self.vocabulary.is_name(word))
    }

    /// A message of a controller: its own words stay, the names inside it are rewritten as names.
    pub(super) fn message(&self, text: &str) -> String {
        let parts = |c: char| c.is_whitespace() || "\"'`\\()[]{}<>,;=&|".contains(c);
        let mut written = String::with_capacity(text.len());
        let mut rest = text;
        let mut quoted = false;
        while !rest.is_empty() {
            let end = rest.find(parts).unwrap_or(rest.len());
            let (run, after) = rest.split_at(end);
            let closing = after.trim_start_matches('\\').starts_with(['"', '\'', '`']);
            let bare = run.trim_end_matches(['.', ':', '!', '?']);
            let like_a_name = bare.contains(['/', '.', '@', ':']) || bare.bytes().any(|byte| byte.is_ascii_digit());
            written.push_str(&if like_a_name || (quoted && closing) || self.names.contains(bare) && bare.contains('-') {
                self.name(run)
            } else {
                self.rewrite(run, &|word| self.vocabulary.is_name(word) || self.vocabulary.is_text(word))
            });
            let separators = after.find(|c: char| !parts(c)).unwrap_or(after.len());
            let (separators, next) = after.split_at(separators);
            quoted = separators.ends_with(['"', '\'', '`']);
            written.push_str(separators);
            rest = next;
        }
        written
    }

    fn rewrite(&self, text: &str, stays: &dyn Fn(&str) -> bool) -> String {
        let mut written = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let length = if let Some((length, new)) = self.phrase(rest) {
                written.push_str(&new);
                length
            } else if c.is_alphanumeric() {
                let length = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
                let word = rest.get(..length).unwrap_or_default();
                if length == 1 || stays(word) || is_number(word) {
                    written.push_str(word)
                } else {
                    written.push_str(&self.words.replace(word))
                }
                length
            } else {
                written.push(c);
                c.len_utf8()
            };
            rest = rest.get(length..).unwrap_or_default();
        }
        written
    }

    /// What stands at the beginning of a text and means something as a whole: its length, and what it becomes.
    fn phrase(&self, text: &str) -> Option<(usize, String)> {
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':') {
            return None;
        }
        let run = leading(text, |c| c.is_ascii_alphanumeric() || "-._".contains(c));
        self.derived_name(run).or_else(|| {
            let whole = vocabulary::WHOLE.into_iter().find(|whole| starts_with_whole(run, whole));
            let key = || vocabulary::key(text).map(str::len);
            let location = || ends(run).find(|end| vocabulary::is_location(&run[..*end]));
            let kept = whole
                .map(str::len)
                .or_else(key)
                .or_else(location)
                .or_else(|| timestamp(text))
                .or_else(|| constant(run))
                .or_else(|| vocabulary::constraint(text));
            kept.map(|length| (length, text[..length].to_owned())).or_else(|| self.identity(run)).or_else(|| self.address(text))
        })
    }

    /// The longest name at the beginning that GKE derives from others.
    fn derived_name(&self, run: &str) -> Option<(usize, String)> {
        ends(run).find_map(|end| Some((end, self.derived.get(run.get(..end)?)?.clone())))
    }

    /// A UUID. The new one shows that it is none that anybody was given.
    fn identity(&self, run: &str) -> Option<(usize, String)> {
        let uuid = run.get(..UUID).filter(|uuid| is_uuid(uuid))?;
        if run.as_bytes().get(UUID).is_some_and(u8::is_ascii_alphanumeric) {
            return None;
        }
        let digest = Sha256::new().chain_update(self.key).chain_update(uuid.to_lowercase()).finalize();
        let digits: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        Some((UUID, format!("{NOBODYS}{digits}")))
    }

    /// An address, with the length of its block behind it, or with dashes for dots.
    fn address(&self, text: &str) -> Option<(usize, String)> {
        let six = leading(text, |c| c.is_ascii_hexdigit() || c == ':' || c == '.').trim_end_matches('.');
        let four = leading(text, |c| c.is_ascii_digit() || c == '.').trim_end_matches('.');
        let found = [six, four].into_iter().find_map(|run| Some((run.len(), run.parse::<IpAddr>().ok()?)));
        let Some((length, address)) = found.filter(|(length, _)| !text[*length..].starts_with(char::is_alphanumeric)) else {
            let dashed = leading(text, |c| c.is_ascii_digit() || c == '-').trim_end_matches('-');
            let address = dashed.replace('-', ".").parse::<IpAddr>().ok()?;
            let new = self.replace_address(address, None).to_string();
            return Some((dashed.len(), new.replace('.', "-")));
        };
        let behind = text[length..].strip_prefix('/').map(|behind| leading(behind, |c| c.is_ascii_digit()));
        let block = behind.and_then(|digits| digits.parse::<u32>().ok()).filter(|bits| *bits <= 128);
        Some((length, self.replace_address(address, block).to_string()))
    }
}

const UUID: usize = 36;

/// The beginning of every identity that was replaced.
pub(super) const NOBODYS: &str = "00000000-0000-4000-8000-";

fn is_uuid(text: &str) -> bool {
    text.bytes()
        .enumerate()
        .all(|(at, byte)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

fn leading(text: &str, of: impl Fn(char) -> bool) -> &str {
    text.find(|c| !of(c)).map_or(text, |end| &text[..end])
}

/// Where a name of several words may end, from the longest on.
fn ends(run: &str) -> impl Iterator<Item = usize> {
    let bytes = run.as_bytes();
    (1..=bytes.len())
        .rev()
        .filter(|end| bytes[end - 1].is_ascii_alphanumeric() && bytes.get(*end).is_none_or(|next| !next.is_ascii_alphanumeric()))
}

fn starts_with_whole(run: &str, whole: &str) -> bool {
    run.strip_prefix(whole).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

/// A moment: when things happened is no secret, and every age depends on it.
fn timestamp(text: &str) -> Option<usize> {
    let run = leading(text, |c| c.is_ascii_digit() || "TZ:.+-".contains(c)).trim_end_matches(['.', ':', '-', '+']);
    (run.len() >= 20 && run.parse::<Timestamp>().is_ok()).then_some(run.len())
}

/// A constant of an API: `QUOTA_EXCEEDED`.
fn constant(run: &str) -> Option<usize> {
    let constant = leading(run, |c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_');
    let ends = !run[constant.len()..].starts_with(|c: char| c.is_ascii_alphanumeric());
    (ends && constant.contains('_') && constant.starts_with(|c: char| c.is_ascii_uppercase())).then_some(constant.len())
}

/// A port, a status, an amount: short numbers, with a unit or without.
fn is_number(word: &str) -> bool {
    let digits = leading(word, |c| c.is_ascii_digit());
    let unit = &word[digits.len()..];
    (1..LONG_NUMBER).contains(&digits.len())
        && matches!(unit, "" | "ms" | "s" | "m" | "h" | "d" | "k" | "Ki" | "Mi" | "Gi" | "KB" | "MB" | "GB" | "MiB" | "GiB")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn rewriter() -> Rewriter {
        Rewriter::new([1; 32])
    }

    /// The texts in quotes that the sources below a folder look for, tests and comments apart.
    fn looked_for(folder: &Path, into: &mut Vec<(String, String)>) {
        const CALLS: [&str; 9] = [
            "contains(",
            "starts_with(",
            "ends_with(",
            "strip_prefix(",
            "strip_suffix(",
            "split_once(",
            "find(",
            "between(",
            "split(",
        ];
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                looked_for(&path, into);
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
            for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
                for at in CALLS.into_iter().flat_map(|call| line.match_indices(call).map(move |(at, _)| at + call.len())) {
                    let argument = &line[at..];
                    let argument = argument
                        .split_once(", \"")
                        .filter(|_| line[..at].ends_with("between("))
                        .map_or(argument, |(_, rest)| &line[line.len() - rest.len() - 1..]);
                    let Some(literal) = argument.trim_start_matches('&').strip_prefix('"') else { continue };
                    let literal = literal.replace("\\\"", "\u{1}");
                    let literal = literal.split('"').next().unwrap().replace('\u{1}', "\"");
                    into.push((path.file_name().unwrap().to_string_lossy().into_owned(), literal));
                }
            }
        }
    }

    #[test]
    fn what_rules_look_for_in_texts_stays() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        looked_for(&root.join("rules"), &mut found);
        looked_for(&root.join("topology"), &mut found);
        assert!(found.len() > 60, "{}", found.len());
        let lost: Vec<_> = found.iter().filter(|(_, text)| rewriter().message(text) != *text).collect();
        assert!(lost.is_empty(), "these words belong into texts.txt: {lost:?}");
    }

    #[test]
    fn names_in_messages_are_replaced_and_the_rest_stays() {
        let rewriter = rewriter();
        let new = rewriter.message(
            "Error syncing to GCP: googleapi: Error 404: The resource 'projects/acme-prod/zones/us-central1-a/networkEndpointGroups/web' was not found, notFound",
        );
        let name = rewriter.name("acme-prod");
        let web = rewriter.name("web");
        assert_eq!(
            new,
            format!(
                "Error syncing to GCP: googleapi: Error 404: The resource 'projects/{name}/zones/us-central1-a/networkEndpointGroups/{web}' was not found, notFound"
            )
        );
        let quoted = rewriter.message("secret \"error\" not found at 2026-11-02T14:20:11Z, quota 'NETWORK_ENDPOINT_GROUPS'");
        assert_eq!(
            quoted,
            format!("secret \"{}\" not found at 2026-11-02T14:20:11Z, quota 'NETWORK_ENDPOINT_GROUPS'", rewriter.name("error"))
        );
        assert!(!rewriter.message("ask bob@acme.example or 10.4.0.5 or 10-4-0-5").contains("bob"));
        assert!(!rewriter.message("or 10.4.0.5 or 10-4-0-5").contains("4-0-5"));
    }

    #[test]
    fn forms_stay() {
        let rewriter = rewriter();
        for same in [
            "kube-system",
            "default-http-backend",
            "us-central1-a",
            "2026-11-02T14:20:11Z",
            "cloud.google.com/neg",
            "http",
            "80",
            "10m",
            "0.0.0.0/0",
            "::/0",
            "127.0.0.1:8080",
            "constraints/compute.restrictLoadBalancerCreationForTypes",
            "*",
            "/",
            "gce-internal",
            "",
        ] {
            assert_eq!(rewriter.name(same), same);
        }
        let uid = rewriter.name("34f8a76e-ab89-49bb-aac7-dfb004420387");
        assert!(uid.starts_with(NOBODYS) && uid.len() == UUID, "{uid}");
        let block = rewriter.name("10.4.0.0/14");
        assert!(block.starts_with("10.") && block.ends_with("/14") && block != "10.4.0.0/14", "{block}");
        assert_eq!(rewriter.name("ab.cd-ef_gh/ij").len(), "ab.cd-ef_gh/ij".len());
        assert_ne!(rewriter.name("123456789012"), "123456789012");
    }
}
