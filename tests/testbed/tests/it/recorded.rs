//! Whether the stand-in for Google's APIs gives back all that was recorded.

use serde_json::json;
use testbed::World;

use super::google::{Client, names};

/// Every recorded resource, endpoint, health and error comes back.
pub(super) async fn assert_answers(world: &World) {
    let Some(compute) = &world.compute else {
        return;
    };
    let client = Client::of_world(world.clone()).await;
    for (key, resource) in &compute.resources {
        let (status, mut got) = client.get(&format!("/compute/v1/{key}")).await;
        if let Some(fingerprint) = resource.get("fingerprint") {
            got["fingerprint"] = fingerprint.clone(); // it may have been mended
        }
        assert_eq!((status, &got), (200, resource), "{key}");
        let (collection, name) = key.rsplit_once('/').unwrap();
        let (_, list) = client.get(&format!("/compute/v1/{collection}")).await;
        assert!(names(&list["items"]).contains(&name), "{key}");
        let parts: Vec<&str> = collection.split('/').collect();
        let [_, project, scope @ .., kind] = parts.as_slice() else { panic!("{key}") };
        if *kind != "firewalls" {
            let (_, list) = client.get(&format!("/compute/v1/projects/{project}/aggregated/{kind}")).await;
            assert!(names(&list["items"][scope.join("/")][*kind]).contains(&name), "{key}");
        }
    }
    for (group, endpoints) in &compute.endpoints {
        let (_, body) = client.post_to(&format!("{group}/listNetworkEndpoints"), json!({"healthStatus": "SHOW"})).await;
        assert_eq!(body["items"].as_array().cloned().unwrap_or_default(), *endpoints, "{group}");
    }
    for (service, groups) in &compute.health {
        for (group, statuses) in groups {
            let (_, body) = client.post_to(&format!("{service}/getHealth"), json!({"group": group})).await;
            assert_eq!(body["healthStatus"].as_array().cloned().unwrap_or_default(), *statuses, "{service} {group}");
        }
    }
    for (key, error) in &compute.errors {
        let (status, body) = client.get(&format!("/compute/v1/{key}")).await;
        assert_eq!((status, &body["error"]["message"]), (error.code, &json!(error.message)), "{key}");
    }
}
