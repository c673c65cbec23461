//! Changes what the load balancer thinks of endpoints.
//!
//! In: a part of a name and a state. Out: the world, changed. Never touches Kubernetes objects.

use serde_json::Value;

use super::World;

impl World {
    /// Sets the state of every endpoint of the groups and backend services whose name contains
    /// `name_contains`, as health checks would. Returns how many entries there were.
    pub fn set_health(&mut self, name_contains: &str, state: &str) -> usize {
        let Some(compute) = &mut self.compute else {
            return 0;
        };
        let mut count = 0;
        let named = |key: &str| key.rsplit('/').next().is_some_and(|name| name.contains(name_contains));
        for (_, endpoints) in compute.endpoints.iter_mut().filter(|(group, _)| named(group)) {
            let healths = endpoints.iter_mut().filter_map(|endpoint| endpoint.get_mut("healths")?.as_array_mut()).flatten();
            count += healths.map(|health| set(health, state)).count();
        }
        for (service, groups) in &mut compute.health {
            for (_, statuses) in groups.iter_mut().filter(|(group, _)| named(service) || named(group)) {
                count += statuses.iter_mut().map(|health| set(health, state)).count();
            }
        }
        count
    }
}

fn set(health: &mut Value, state: &str) {
    health["healthState"] = state.into();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn both_reads_change() {
        let mut world = World::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shop")).unwrap();
        assert!(world.set_health("shop-cart", "UNHEALTHY") >= 2);
        let compute = world.compute.unwrap();
        let text = |part: &dyn std::fmt::Debug| format!("{part:?}");
        assert!(text(&compute.endpoints).contains("UNHEALTHY"));
        assert!(text(&compute.health).contains("UNHEALTHY"));
        assert_eq!(
            World { compute: None, ..World::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/shop")).unwrap() }
                .set_health("", "X"),
            0
        );
    }
}
