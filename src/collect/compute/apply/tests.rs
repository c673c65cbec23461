//! Tests of `apply`.

use super::{Whole, endpoints, endpoints_failed, health, health_failed, host_list_failed, list, list_failed};
use crate::collect::compute::client::Hole;
use crate::collect::compute::failure::{Class, Failure};
use crate::collect::world::Change;
use crate::snapshot::compute::{COLLECTIONS, HealthStatus, NetworkEndpoint, NetworkEndpointGroup, UrlMap};
use crate::snapshot::{Compute, Observed};

fn neg(zone: &str, name: &str) -> String {
    format!("projects/p/zones/{zone}/networkEndpointGroups/{name}")
}

fn whole(groups: &[(&str, &str)], holes: &[Option<&str>]) -> Whole<NetworkEndpointGroup> {
    let hole = |scope: &Option<&str>| Hole { scope: scope.map(Into::into), message: "down".into() };
    let resources = groups.iter().map(|(zone, name)| (neg(zone, name).into(), NetworkEndpointGroup::default()));
    Whole { resources: resources.collect(), holes: holes.iter().map(hole).collect() }
}

fn seen(compute: &Compute) -> Vec<&str> {
    compute.network_endpoint_groups.iter().map(|(path, _)| path).collect()
}

fn state(compute: &Compute, zone: &str, name: &str) -> &'static str {
    match compute.get::<NetworkEndpointGroup>(&neg(zone, name)) {
        Observed::Present(_) => "present",
        Observed::Absent => "absent",
        Observed::Unknown(_) => "unknown",
    }
}

fn failure(class: Class) -> Failure {
    Failure { class, code: 503, reason: "r".into(), message: "m".into(), retry_after: None }
}

#[test]
fn a_list_replaces_the_one_before_but_for_what_was_out_of_reach() {
    let mut compute = Compute::default();
    assert_eq!(state(&compute, "a", "one"), "unknown");
    let everything = list(&mut compute, "p", whole(&[("a", "one"), ("b", "one"), ("b", "two")], &[]), true);
    assert_eq!(everything, Change::Everything);
    assert!(compute.get::<UrlMap>("projects/p/global/urlMaps/u").known().is_err(), "only one kind was read");
    assert_eq!(list(&mut compute, "p", whole(&[("a", "one"), ("b", "one"), ("b", "two")], &[]), true), Change::Nothing);

    assert_eq!(list(&mut compute, "p", whole(&[("b", "one")], &[Some("zones/a")]), true), Change::Everything);
    assert_eq!(seen(&compute), [neg("a", "one"), neg("b", "one")]);
    assert_eq!(["one", "new"].map(|name| state(&compute, "a", name)), ["present", "unknown"]);
    assert_eq!(["two", "new"].map(|name| state(&compute, "b", name)), ["absent", "absent"]);

    assert_eq!(list(&mut compute, "p", whole(&[("b", "one")], &[]), true), Change::Everything);
    assert_eq!(["one", "new"].map(|name| state(&compute, "a", name)), ["absent", "absent"]);
    assert!(compute.errors.is_empty());
}

#[test]
fn a_hole_that_nobody_can_place_makes_nothing_absent() {
    let mut compute = Compute::default();
    list(&mut compute, "p", whole(&[("a", "one")], &[]), true);
    list(&mut compute, "p", whole(&[("b", "one")], &[None]), true);
    assert_eq!(
        (state(&compute, "a", "one"), state(&compute, "b", "one"), state(&compute, "c", "one")),
        ("present", "present", "unknown")
    );
}

#[test]
fn another_project_is_left_alone() {
    let mut compute = Compute::default();
    list(&mut compute, "p", whole(&[("a", "one")], &[]), true);
    list(&mut compute, "host", whole(&[], &[]), false);
    assert_eq!(state(&compute, "a", "one"), "present");
    let path = "projects/host/global/firewalls".to_owned();
    assert_eq!(host_list_failed(&mut compute, std::slice::from_ref(&path), &failure(Class::Refused)), Change::Everything);
    assert_eq!(host_list_failed(&mut compute, &[path], &failure(Class::Refused)), Change::Nothing);
    assert!(compute.unread_kind("networkEndpointGroups").is_none());
}

#[test]
fn a_failed_list_is_unknown_unless_a_young_one_stands() {
    let mut compute = Compute::default();
    list_failed(&mut compute, "networkEndpointGroups", &failure(Class::Unwell), false);
    assert_eq!(compute.unread.len(), COLLECTIONS.len(), "the others were not read either");
    assert_eq!(state(&compute, "a", "one"), "unknown");
    list(&mut compute, "p", whole(&[("a", "one")], &[]), true);
    assert_eq!(list_failed(&mut compute, "networkEndpointGroups", &failure(Class::Unwell), true), Change::Nothing);
    assert_eq!((state(&compute, "a", "one"), state(&compute, "a", "two")), ("present", "absent"));
    list_failed(&mut compute, "networkEndpointGroups", &failure(Class::Refused), true);
    assert_eq!((state(&compute, "a", "one"), state(&compute, "a", "two")), ("present", "unknown"));
}

#[test]
fn facts_of_a_group_outlive_failed_reads_until_the_group_is_gone() {
    let mut compute = Compute::default();
    let group = neg("a", "one");
    assert_eq!(endpoints_failed(&mut compute, &group, &failure(Class::Unwell)), Change::Group(group.as_str().into()));
    assert_eq!(compute.endpoints_of(&group).map_err(|why| why.reason), Err("r".into()));
    endpoints(&mut compute, &group, vec![NetworkEndpoint::default()]);
    assert!(compute.errors.is_empty());
    assert_eq!(endpoints(&mut compute, &group, vec![NetworkEndpoint::default()]), Change::Nothing);
    assert_eq!(endpoints_failed(&mut compute, &group, &failure(Class::Unwell)), Change::Nothing);
    assert_eq!(compute.endpoints_of(&group).map(<[_]>::len), Ok(1));
    endpoints_failed(&mut compute, &group, &failure(Class::NotFound));
    assert!(compute.endpoints_of(&group).is_err());
}

#[test]
fn the_error_of_a_backend_service_goes_with_its_last_failing_group() {
    let mut compute = Compute::default();
    let service = "projects/p/global/backendServices/b";
    health_failed(&mut compute, service, "g1", &failure(Class::Unwell));
    health_failed(&mut compute, service, "g2", &failure(Class::Unwell));
    health(&mut compute, service, "g1", vec![HealthStatus::default()], false);
    assert!(compute.health_of(service, "g1").is_ok());
    assert_eq!(compute.health_of(service, "g2").map_err(|why| why.reason), Err("r".into()));
    health(&mut compute, service, "g2", Vec::new(), true);
    assert_eq!(compute.health_of(service, "g2"), Ok(&[][..]));
    assert!(compute.errors.is_empty());
}
