//! Tests of `watch`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use super::Watch;
use crate::collect::world::World;
use crate::snapshot::kubernetes::{BackendConfig, Pod, Stored};
use crate::snapshot::{Observed, Unknown};

/// An API server of one kind: its lists come one after the other, the last one again and again; a watch
/// tells the event as soon as there is one.
#[derive(Clone, Default)]
struct Fake {
    lists: Arc<Mutex<VecDeque<(u16, Value)>>>,
    event: Arc<Mutex<Option<Value>>>,
}

impl Fake {
    fn of(lists: impl IntoIterator<Item = (u16, Value)>) -> Self {
        Self { lists: Arc::new(Mutex::new(lists.into_iter().collect())), event: Arc::default() }
    }

    async fn start(&self) -> kube::Client {
        rustls::crypto::ring::default_provider().install_default().ok();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let mut config = kube::Config::new(url.parse().unwrap());
        config.default_retry = false;
        kube::Client::try_from(config).unwrap()
    }
}

async fn answer(State(fake): State<Fake>, RawQuery(query): RawQuery) -> Response<Body> {
    if query.unwrap_or_default().contains("watch=true") {
        let events = futures::stream::unfold(fake, |fake| async {
            loop {
                let event = fake.event.lock().unwrap().take();
                if let Some(event) = event {
                    return Some((Ok::<_, std::io::Error>(format!("{event}\n")), fake));
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        return Response::new(Body::from_stream(events));
    }
    let mut lists = fake.lists.lock().unwrap();
    let (status, body) = if lists.len() > 1 { lists.pop_front().unwrap() } else { lists[0].clone() };
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn list(items: &[(&str, Value)]) -> (u16, Value) {
    let object = |(name, spec): &(&str, Value)| json!({"metadata": {"namespace": "a", "name": name, "resourceVersion": "1"}, "spec": spec});
    let items: Vec<Value> = items.iter().map(object).collect();
    (200, json!({"kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": items}))
}

fn refusal(code: u16) -> (u16, Value) {
    (
        code,
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "Because", "message": "told so"}),
    )
}

async fn watch<T: Stored + PartialEq>(fake: &Fake) -> Arc<World> {
    let world = Arc::new(World::new());
    tokio::spawn(Watch::<T>::new(&world, &fake.start().await, "").run());
    world
}

async fn until(world: &World, what: &str, is_so: impl Fn(&World) -> bool) {
    for _ in 0..1500 {
        if is_so(world) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: not in time");
}

fn pod(world: &World, name: &str) -> &'static str {
    match world.read().kubernetes.pods.get("a", name) {
        Observed::Present(_) => "present",
        Observed::Absent => "absent",
        Observed::Unknown(why) if &*why.reason == "Malformed" => "malformed",
        Observed::Unknown(_) => "unknown",
    }
}

/// The API server checks pods, so they are decoded without a detour; one that cannot be decoded all the same must not hide the others.
#[tokio::test]
async fn one_object_does_not_hide_a_list_even_of_a_checked_kind() {
    let fake = Fake::of([list(&[("good", json!({})), ("bad", json!(7))])]);
    let world = watch::<Pod>(&fake).await;
    assert_eq!(pod(&world, "good"), "unknown");
    until(&world, "the list", World::synced).await;
    assert_eq!(["good", "bad", "none"].map(|name| pod(&world, name)), ["present", "malformed", "absent"]);
}

/// After a list, what is not in it is gone, malformed objects included.
#[tokio::test]
async fn a_new_list_replaces_the_old_one() {
    let fake = Fake::of([list(&[("old", json!({})), ("both", json!({}))]), list(&[("both", json!({})), ("new", json!({}))])]);
    let world = watch::<Pod>(&fake).await;
    let gone = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired", "message": "too old"});
    until(&world, "the first list", |world| pod(world, "old") == "present").await;
    world.take_changes();
    *fake.event.lock().unwrap() = Some(json!({"type": "ERROR", "object": gone}));
    until(&world, "the second list", |world| pod(world, "new") == "present" && pod(world, "old") == "absent").await;
    assert_eq!(pod(&world, "both"), "present");
}

#[tokio::test]
async fn a_broken_server_is_unknown_and_awaited() {
    let fake = Fake::of([refusal(500), refusal(500), list(&[])]);
    let world = watch::<Pod>(&fake).await;
    let why = |world: &World| world.read().kubernetes.pods.readable("a").err();
    let told = |why: &Unknown| (why.reason.to_string(), why.message.to_string());
    until(&world, "the reason", |world| why(world).is_some_and(|why| told(&why) == ("Because".into(), "told so".into()))).await;
    assert!(!world.synced(), "nobody knows yet what there is");
    until(&world, "the list", World::synced).await;
    assert_eq!(why(&world), None);
}

#[tokio::test]
async fn a_refused_kind_is_unknown_and_not_awaited() {
    let fake = Fake::of([refusal(403), list(&[("p", json!({}))])]);
    let world = watch::<Pod>(&fake).await;
    until(&world, "the refusal", World::synced).await;
    let why = world.read().kubernetes.pods.readable("a").unwrap_err();
    assert_eq!((&*why.reason, &*why.message), ("Forbidden", "told so"));
    until(&world, "leave to read", |world| pod(world, "p") == "present").await;
    assert!(world.read().kubernetes.pods.readable("a").is_ok());
}

/// A custom resource without definition has no objects; a kind of Kubernetes itself cannot be without one.
#[tokio::test]
async fn only_a_custom_resource_may_be_unknown_to_the_server() {
    let world = watch::<BackendConfig>(&Fake::of([refusal(404)])).await;
    until(&world, "the answer", World::synced).await;
    assert!(world.read().kubernetes.backend_configs.get("a", "b").is_absent());

    let world = watch::<Pod>(&Fake::of([refusal(404)])).await;
    let told = |world: &World| world.read().kubernetes.pods.readable("a").is_err_and(|why| &*why.message == "told so");
    until(&world, "the answer", told).await;
    assert!(!world.synced());
}
