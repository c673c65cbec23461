//! The `IngressDiagnosis` objects: what stands, and what is written.
//!
//! Enters: diagnoses. Leaves: objects and their status in the API server, by server-side apply. Never: writes an object that targets
//! something else, a status that is equal to the one that stands, or anything while another process leads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use kube::core::Status;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::api::IngressDiagnosis;
use crate::collect::{self, guard};
use crate::diagnose::Diagnosis;
use crate::topology::{TargetKind, TargetRef};

use super::events;
use super::status::{self, Context};

/// Our name as a field manager.
pub const FIELD_MANAGER: &str = "ingress-diagnosis";

/// No write may take longer: leadership is given up this long before another process may take it.
const WRITE: Duration = Duration::from_secs(4);

/// Between two tries to watch while the CustomResourceDefinition is absent.
const ABSENT: Duration = Duration::from_secs(5);

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// An object of that name targets something else.
    #[error("IngressDiagnosis {namespace}/{name} targets {target}, it is left alone: rename or delete it")]
    NotOurs {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What it targets.
        target: String,
    },
    /// Another process leads.
    #[error("another process leads")]
    NotLeading,
    /// The namespace is being deleted, nothing can be made in it.
    #[error("namespace {0} is being deleted and takes no new IngressDiagnosis")]
    Terminating(String),
    /// The API server did not answer in time.
    #[error("the API server did not answer in time")]
    Timeout,
    /// The API server refused.
    #[error("the API server refuses it: {}", .0.message)]
    Refused(Box<Status>),
    /// There was no answer.
    #[error("no answer from the API server: {0}")]
    Unreachable(String),
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::Refused(status),
            error => Self::Unreachable(collect::words(&error)),
        }
    }
}

/// What happened to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It stands as it should.
    Unchanged,
    /// Its status was written.
    Status,
    /// It was made.
    Created,
}

type Key = (String, String);

/// All `IngressDiagnosis` objects of the cluster.
pub struct Owned {
    client: kube::Client,
    objects: Mutex<BTreeMap<Key, Arc<IngressDiagnosis>>>,
    /// Keys whose acknowledged codes changed, so that a new diagnosis is due.
    touched: Mutex<BTreeSet<Key>>,
    changed: Notify,
    listed: watch::Sender<bool>,
    leads: watch::Receiver<bool>,
    /// Whether events are written, so that the status remembers them.
    events: bool,
}

impl Owned {
    /// Nothing is known yet; [`Owned::run`] fills it.
    pub fn new(client: kube::Client, leads: watch::Receiver<bool>, events: bool) -> Self {
        Self {
            client,
            objects: Mutex::default(),
            touched: Mutex::default(),
            changed: Notify::new(),
            listed: watch::Sender::new(false),
            leads,
            events,
        }
    }

    /// Watches the objects. Without the CustomResourceDefinition it says so once and waits for it.
    pub async fn run(&self) {
        let api = Api::<IngressDiagnosis>::all(self.client.clone());
        let mut stream = watcher(api, watcher::Config::default()).backoff(Pause).boxed();
        let mut seen = BTreeSet::new();
        let mut last_error = String::new();
        loop {
            let event = match stream.try_next().await {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(error) => {
                    let text = describe(&error);
                    if text != last_error {
                        tracing::warn!(error = %text, "IngressDiagnosis objects cannot be watched");
                        last_error = text;
                    }
                    continue;
                }
            };
            last_error.clear();
            match event {
                watcher::Event::Init => seen.clear(),
                watcher::Event::InitApply(object) => {
                    seen.insert(key(&object));
                    self.keep(object);
                }
                watcher::Event::InitDone => {
                    self.objects().retain(|key, _| seen.contains(key));
                    self.listed.send_replace(true);
                    self.changed.notify_one();
                }
                watcher::Event::Apply(object) if self.is_newer(&object) => self.keep(object),
                watcher::Event::Delete(object) if self.is_newer(&object) => {
                    let key = key(&object);
                    self.objects().remove(&key);
                    self.touch(key);
                }
                // What we wrote since then is known better.
                watcher::Event::Apply(_) | watcher::Event::Delete(_) => {}
            }
        }
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<Key, Arc<IngressDiagnosis>>> {
        guard(&self.objects)
    }

    /// It is not an older version of what is known from an answer to a write of ours: the watch lags behind.
    fn is_newer(&self, object: &IngressDiagnosis) -> bool {
        let version = |object: &IngressDiagnosis| object.resource_version()?.parse::<u64>().ok();
        self.objects().get(&key(object)).is_none_or(|known| version(object) >= version(known))
    }

    fn keep(&self, mut object: IngressDiagnosis) {
        object.metadata.managed_fields = None;
        let key = key(&object);
        let before = self.objects().insert(key.clone(), Arc::new(object.clone()));
        let same = before.is_some_and(|before| {
            before.spec == object.spec && before.metadata.owner_references == object.metadata.owner_references
        });
        if !same {
            self.touch(key);
        }
    }

    fn touch(&self, key: Key) {
        guard(&self.touched).insert(key);
        self.changed.notify_one();
    }

    /// Whether the objects have been listed once.
    pub fn listed(&self) -> watch::Receiver<bool> {
        self.listed.subscribe()
    }

    /// Waits until an object changed in what a diagnosis depends on, and says which, by namespace and name.
    pub async fn touched(&self) -> BTreeSet<Key> {
        loop {
            let changed = self.changed.notified();
            let touched = std::mem::take(&mut *guard(&self.touched));
            if !touched.is_empty() {
                return touched;
            }
            changed.await;
        }
    }

    /// The object of a target, if it is one; what only has its name is not.
    pub fn get(&self, target: &TargetRef) -> Option<Arc<IngressDiagnosis>> {
        self.named(target).filter(|object| target_of(object).as_ref() == Some(target))
    }

    /// The object that has the name of a target's, whoever's it is.
    fn named(&self, target: &TargetRef) -> Option<Arc<IngressDiagnosis>> {
        self.objects().get(&(target.namespace.to_string(), target.diagnosis_name())).cloned()
    }

    /// The targets of the objects that are ours.
    pub fn targets(&self) -> Vec<TargetRef> {
        self.objects().values().filter_map(|object| ours(object)).collect()
    }

    /// The codes that the owner of a target has accepted.
    pub fn acknowledged(&self, target: &TargetRef) -> Vec<String> {
        self.get(target).map(|object| object.spec.acknowledge.clone()).unwrap_or_default()
    }

    /// The findings that stand in a target's status, by code and backend; `None` while there is no status.
    pub fn findings(&self, target: &TargetRef) -> Option<BTreeSet<(String, Option<String>)>> {
        let object = self.get(target)?;
        let found = object.status.iter().flat_map(|status| &status.findings);
        let all = found.flat_map(|cause| {
            let symptoms = cause.symptoms.iter().map(|symptom| (symptom.code.clone(), symptom.backend.clone()));
            symptoms.chain([(cause.code.clone(), cause.backend.clone())])
        });
        object.status.is_some().then(|| all.collect())
    }

    /// Writes what has to be written for a diagnosis.
    pub async fn write(&self, diagnosis: &Diagnosis, now: Timestamp, docs: &str) -> Result<Written, WriteError> {
        let target = &diagnosis.target;
        let stands = self.named(target);
        let (namespace, name) = (target.namespace.to_string(), target.diagnosis_name());
        if let Some(object) = stands.as_deref().filter(|object| object.spec.target_ref != status::target_ref(diagnosis)) {
            let other = &object.spec.target_ref;
            return Err(WriteError::NotOurs { namespace, name, target: format!("{} {}", other.kind, other.name) });
        }
        let api = Api::<IngressDiagnosis>::namespaced(self.client.clone(), &namespace);
        let owner = (!diagnosis.uid.is_empty()).then(|| status::owner(diagnosis));
        let owned = stands
            .as_deref()
            .is_some_and(|object| owner.iter().all(|owner| object.owner_references().iter().any(|other| other.uid == owner.uid)));
        let mut written = Written::Unchanged;
        let mut object = stands;
        if !owned {
            self.may_write()?;
            let body = serde_json::json!({
                "apiVersion": "ingressdiagnosis.dev/v1alpha1",
                "kind": "IngressDiagnosis",
                "metadata": {"name": name, "namespace": namespace, "ownerReferences": owner.into_iter().collect::<Vec<_>>()},
                "spec": {"targetRef": status::target_ref(diagnosis)},
            });
            let applied = in_time(api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&body))).await;
            let applied = applied.map_err(|error| while_terminating(error, &namespace))?;
            written = Written::Created;
            object = Some(Arc::new(applied));
        }
        let stands = object.as_deref().and_then(|object| object.status.as_ref());
        let generation = object.as_deref().and_then(|object| object.metadata.generation);
        let mut status = status::status(diagnosis, stands, Context { now, generation, docs });
        // What was said on another object of the same name is not known on this one.
        let said = stands.filter(|_| owned).and_then(|stands| stands.last_event.as_ref());
        status.last_event = if self.events { events::last(said, diagnosis, now) } else { None };
        if stands == Some(&status) {
            return Ok(written);
        }
        self.may_write()?;
        let body = serde_json::json!({
            "apiVersion": "ingressdiagnosis.dev/v1alpha1",
            "kind": "IngressDiagnosis",
            "metadata": {"name": name, "namespace": namespace},
            "status": status,
        });
        let applied = in_time(api.patch_status(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&body))).await?;
        self.keep(applied);
        Ok(if written == Written::Created { written } else { Written::Status })
    }

    /// Deletes the objects that are ours and whose target is not among `present`; says which.
    pub async fn delete_stale(&self, present: &BTreeSet<TargetRef>) -> Result<Vec<String>, WriteError> {
        let stale: Vec<_> = self
            .objects()
            .values()
            .filter(|object| ours(object).is_some_and(|target| !present.contains(&target)))
            .cloned()
            .collect();
        let mut deleted = Vec::new();
        for object in stale {
            self.may_write()?;
            let (namespace, name) = key(&object);
            let api = Api::<IngressDiagnosis>::namespaced(self.client.clone(), &namespace);
            let preconditions = Preconditions { uid: object.uid(), resource_version: None };
            let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
            match in_time(api.delete(&name, &parameters)).await {
                Ok(_) => deleted.push(format!("{namespace}/{name}")),
                Err(WriteError::Refused(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => return Err(error),
            }
            // The watch will say so as well; until it does, nobody shall delete it again.
            self.objects().remove(&(namespace, name));
        }
        Ok(deleted)
    }

    fn may_write(&self) -> Result<(), WriteError> {
        if *self.leads.borrow() { Ok(()) } else { Err(WriteError::NotLeading) }
    }
}

/// The target of an object that is ours: we have written its status. One that somebody made for a target that never was ours stays.
fn ours(object: &IngressDiagnosis) -> Option<TargetRef> {
    target_of(object).filter(|_| object.status.is_some())
}

/// The target of an object, if it has the name that goes with it.
fn target_of(object: &IngressDiagnosis) -> Option<TargetRef> {
    let named = &object.spec.target_ref;
    let kind = match &*named.kind {
        "Ingress" => TargetKind::Ingress,
        "Service" => TargetKind::Service,
        _ => return None,
    };
    let target = TargetRef { kind, namespace: object.namespace()?.into(), name: named.name.as_str().into() };
    (target.diagnosis_name() == object.name_any() && named.api_version == kind.api_version()).then_some(target)
}

pub(super) fn while_terminating(error: WriteError, namespace: &str) -> WriteError {
    let terminating = match &error {
        WriteError::Refused(status) => {
            let causes = status.details.iter().flat_map(|details| &details.causes);
            causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
        }
        _ => false,
    };
    if terminating { WriteError::Terminating(namespace.to_owned()) } else { error }
}

fn key(object: &IngressDiagnosis) -> Key {
    (object.namespace().unwrap_or_default(), object.name_any())
}

pub(super) async fn in_time<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, WriteError> {
    Ok(timeout(WRITE, request).await.map_err(|_| WriteError::Timeout)??)
}

fn describe(error: &watcher::Error) -> String {
    let cause = match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => cause,
        watcher::Error::WatchError(status) => return status.message.clone(),
        watcher::Error::NoResourceVersion => return error.to_string(),
    };
    match cause {
        kube::Error::Api(status) if status.code == 404 => {
            "the CustomResourceDefinition ingressdiagnoses.ingressdiagnosis.dev is not installed, waiting for it: apply what \
             `ingress-diagnosis crd` prints"
                .to_owned()
        }
        cause => collect::words(cause),
    }
}

/// The same pause between all tries: the CustomResourceDefinition may be installed any moment.
struct Pause;

impl Iterator for Pause {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(ABSENT)
    }
}

impl kube::runtime::utils::Backoff for Pause {
    fn reset(&mut self) {}
}
