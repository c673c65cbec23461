//! A request, taken apart.
//!
//! In: method, path, query, body. Out: what is asked for. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// One request to the stand-in.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: BTreeMap<String, String>,
    pub(super) body: Value,
}

/// A kind of Compute resource, and where it can be.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) plural: &'static str,
    /// As in `compute#backendService`.
    pub(super) singular: &'static str,
    pub(super) global: bool,
    pub(super) regional: bool,
    pub(super) zonal: bool,
    pub(super) aggregated: bool,
}

const fn everywhere(plural: &'static str, singular: &'static str) -> Kind {
    Kind { plural, singular, global: true, regional: true, zonal: false, aggregated: true }
}

const KINDS: [Kind; 12] = [
    everywhere("backendServices", "backendService"),
    everywhere("healthChecks", "healthCheck"),
    everywhere("urlMaps", "urlMap"),
    everywhere("forwardingRules", "forwardingRule"),
    everywhere("targetHttpProxies", "targetHttpProxy"),
    everywhere("targetHttpsProxies", "targetHttpsProxy"),
    everywhere("sslCertificates", "sslCertificate"),
    everywhere("addresses", "address"),
    Kind { plural: "firewalls", singular: "firewall", global: true, regional: false, zonal: false, aggregated: false },
    Kind {
        plural: "networkEndpointGroups",
        singular: "networkEndpointGroup",
        global: true,
        regional: true,
        zonal: true,
        aggregated: true,
    },
    Kind { plural: "instanceGroups", singular: "instanceGroup", global: false, regional: true, zonal: true, aggregated: true },
    Kind { plural: "subnetworks", singular: "subnetwork", global: false, regional: true, zonal: false, aggregated: true },
];

impl Kind {
    pub(super) fn named(plural: &str) -> Option<&'static Self> {
        KINDS.iter().find(|kind| kind.plural == plural)
    }

    /// Whether it can be in `global`, `regions/R` or `zones/Z`.
    pub(super) fn lives_in(&self, scope: &str) -> bool {
        match scope.split('/').next() {
            Some("global") => self.global,
            Some("regions") => self.regional,
            Some("zones") => self.zonal,
            _ => false,
        }
    }
}

/// What a path below `/compute/v1/` names.
#[derive(Debug)]
pub(super) enum Target<'a> {
    Aggregated { project: &'a str, kind: &'static Kind },
    Collection { kind: &'static Kind },
    Resource { kind: &'static Kind },
    Method { kind: &'static Kind, method: &'a str },
}

impl<'a> Target<'a> {
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').collect();
        let (project, rest) = match segments.as_slice() {
            ["projects", project, rest @ ..] => (*project, rest),
            _ => return None,
        };
        if let ["aggregated", plural] = rest {
            return Some(Self::Aggregated { project, kind: Kind::named(plural).filter(|kind| kind.aggregated)? });
        }
        let (scope, rest) = match rest {
            ["global", rest @ ..] => ("global", rest),
            [scope @ ("regions" | "zones"), _, rest @ ..] => (*scope, rest),
            _ => return None,
        };
        let (plural, rest) = rest.split_first()?;
        let kind = Kind::named(plural).filter(|kind| kind.lives_in(scope))?;
        match rest {
            [] => Some(Self::Collection { kind }),
            [_] => Some(Self::Resource { kind }),
            [_, method] => Some(Self::Method { kind, method }),
            _ => None,
        }
    }
}

/// A part of a longer answer.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) start: usize,
    pub(super) size: usize,
}

const TOKEN: &str = "page-from-";

impl Page {
    /// The page that is asked for; the first one comes with an empty token, or with none. `cap` is
    /// the server's own limit.
    pub(super) fn asked_for(asked: &Asked, cap: usize) -> Result<Self, String> {
        let size = match asked.query.get("maxResults").map(|text| (text, text.parse::<usize>())) {
            None => 500,
            Some((_, Ok(size @ 0..=500))) => {
                if size == 0 {
                    500
                } else {
                    size
                }
            }
            Some((text, _)) => {
                return Err(format!("Invalid value for field 'maxResults': '{text}'. Must be between 0 and 500."));
            }
        };
        let start = match asked.query.get("pageToken").map(String::as_str) {
            None | Some("") => 0,
            Some(token) => token
                .strip_prefix(TOKEN)
                .and_then(|start| start.parse().ok())
                .ok_or_else(|| format!("Invalid value for field 'pageToken': '{token}'."))?,
        };
        Ok(Self { start, size: size.min(cap.max(1)) })
    }

    /// Cuts the page out, and says how to ask for the next one.
    pub(super) fn cut<T>(&self, all: Vec<T>) -> (Vec<T>, Option<String>) {
        let end = self.start.saturating_add(self.size);
        let next = (end < all.len()).then(|| format!("{TOKEN}{end}"));
        (all.into_iter().skip(self.start).take(self.size).collect(), next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart() {
        assert!(matches!(Target::parse("projects/p/aggregated/urlMaps"), Some(Target::Aggregated { project: "p", .. })));
        assert!(matches!(Target::parse("projects/p/global/firewalls"), Some(Target::Collection { .. })));
        assert!(matches!(Target::parse("projects/p/zones/z/networkEndpointGroups/n"), Some(Target::Resource { .. })));
        let Some(Target::Method { kind, method }) = Target::parse("projects/p/regions/r/backendServices/b/getHealth") else {
            panic!()
        };
        assert_eq!((kind.plural, method), ("backendServices", "getHealth"));
        for path in [
            "",
            "projects/p",
            "projects/p/aggregated/firewalls",
            "projects/p/zones/z/firewalls",
            "projects/p/global/machines",
            "x/y/z",
        ] {
            assert!(Target::parse(path).is_none(), "{path}");
        }
    }

    #[test]
    fn pages_follow_each_other() {
        let asked = |query: &[(&str, &str)]| Asked {
            method: "GET".into(),
            path: String::new(),
            query: query.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            body: Value::Null,
        };
        let (first, next) = Page::asked_for(&asked(&[("pageToken", ""), ("maxResults", "3")]), 2).unwrap().cut(vec![1, 2, 3]);
        assert_eq!(first, [1, 2]);
        let (second, end) = Page::asked_for(&asked(&[("pageToken", &next.unwrap())]), 2).unwrap().cut(vec![1, 2, 3]);
        assert_eq!((second, end), (vec![3], None));
        assert!(Page::asked_for(&asked(&[("pageToken", "x")]), 2).is_err());
        assert!(Page::asked_for(&asked(&[("maxResults", "501")]), 2).is_err());
    }
}
