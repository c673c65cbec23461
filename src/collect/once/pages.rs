//! One list, page by page, or a few objects by name.
//!
//! Enters: a kind and a place. Leaves: each object, decoded or as the API server sent it, or why there is none. Never: gives a page up
//! because of one object, or a list because it changed while it was read; waits longer than [`TIMEOUT`] for a page.

use std::time::Duration;

use kube::Client;
use kube::api::{GetParams, ListParams};
use kube::core::Request;
use kube::core::request::Error as BadRequest;
use serde::Deserialize;
use serde_json::Value;

use super::Place;
use crate::collect::words;
use crate::snapshot::kubernetes::Kind;

/// Longest wait for a page.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Objects of a page.
const PAGE: u32 = 500;

/// How often a list is begun again because the version of its first pages is gone.
const RESTARTS: usize = 3;

/// Why a kind was not read.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is no such kind, or no such object.
    NotFound(String),
    /// We may not read it.
    Forbidden(String),
    /// The API server does not know us.
    Unauthorized(String),
    /// No answer at all.
    Unreachable(String),
    /// Reason and message.
    Other(String, String),
}

/// An object of a list.
pub(super) enum Item<T> {
    /// Decoded on the way, which is the quick way.
    Slim(T),
    /// As it was sent.
    Whole(Value),
}

#[derive(Deserialize)]
#[serde(bound = "T: Deserialize<'de>")]
struct Page<T> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(default)]
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
struct ListMeta {
    #[serde(rename = "continue", default)]
    next: String,
}

/// Lists a kind in one place. `whole`: each object is wanted as it was sent.
pub(super) async fn list<T: Kind>(
    client: &Client,
    place: &Place,
    whole: bool,
    mut each: impl FnMut(Item<T>),
) -> Result<(), Refusal> {
    let mut parameters = ListParams::default().limit(PAGE);
    if let [name] = place.names {
        parameters = parameters.fields(&format!("metadata.name={name}"));
    }
    let mut restarts = 0;
    loop {
        match get(client, request::<T>(place).list(&parameters)).await {
            Ok(text) => {
                let next = read::<T>(&text, whole || !T::CHECKED, &mut each).map_err(|error| malformed(&error))?;
                if next.is_empty() {
                    return Ok(());
                }
                parameters.continue_token = Some(next);
            }
            Err(Refusal::Other(reason, _)) if reason == "Expired" && restarts < RESTARTS => {
                restarts += 1;
                parameters.continue_token = None;
            }
            Err(refusal) => return Err(refusal),
        }
    }
}

/// Takes a page apart; gives the token of the next one. A page with an object that cannot be decoded is read object by object.
fn read<T: Kind>(text: &str, whole: bool, each: &mut impl FnMut(Item<T>)) -> Result<String, serde_json::Error> {
    if !whole && let Ok(page) = serde_json::from_str::<Page<T>>(text) {
        page.items.into_iter().flatten().for_each(|object| each(Item::Slim(object)));
        return Ok(page.metadata.next);
    }
    let page: Page<Value> = serde_json::from_str(text)?;
    page.items.into_iter().flatten().for_each(|object| each(Item::Whole(object)));
    Ok(page.metadata.next)
}

/// Gets the objects that a place names, one by one; who is not there is left out.
pub(super) async fn by_name<T: Kind>(client: &Client, place: &Place, mut each: impl FnMut(Item<T>)) -> Result<(), Refusal> {
    for name in place.names {
        match get(client, request::<T>(place).get(name, &GetParams::default())).await {
            Ok(text) => each(Item::Whole(serde_json::from_str(&text).map_err(|error| malformed(&error))?)),
            Err(Refusal::NotFound(_)) => {}
            Err(refusal) => return Err(refusal),
        }
    }
    Ok(())
}

fn request<T: Kind>(place: &Place) -> Request {
    let root = if T::GROUP.is_empty() { "/api".to_owned() } else { format!("/apis/{}", T::GROUP) };
    let namespace = if place.namespace.is_empty() { String::new() } else { format!("/namespaces/{}", place.namespace) };
    Request::new(format!("{root}/{}{namespace}/{}", T::VERSION, T::PLURAL))
}

async fn get(client: &Client, request: Result<http::Request<Vec<u8>>, BadRequest>) -> Result<String, Refusal> {
    let request = request.map_err(|error| Refusal::Unreachable(error.to_string()))?;
    match tokio::time::timeout(TIMEOUT, client.request_text(request)).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(kube::Error::Api(status))) => Err(match status.code {
            401 => Refusal::Unauthorized(status.message),
            403 => Refusal::Forbidden(status.message),
            404 => Refusal::NotFound(status.message),
            410 => Refusal::Other("Expired".to_owned(), status.message),
            code if status.reason.is_empty() => Refusal::Other(code.to_string(), status.message),
            _ => Refusal::Other(status.reason, status.message),
        }),
        Ok(Err(error)) => Err(Refusal::Unreachable(words(&error))),
        Err(_) => Err(Refusal::Unreachable(format!("no answer within {} s", TIMEOUT.as_secs()))),
    }
}

fn malformed(error: &serde_json::Error) -> Refusal {
    Refusal::Other("Malformed".to_owned(), format!("the answer is not understood: {error}"))
}
