//! The objects of one kind, by namespace and name and by the terms that the kind is looked up with.
//!
//! Enters: objects. Leaves: lookups. Never: answers "absent" for a kind that could not be read or an object that could not be decoded.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::super::observed::{Observed, Source, Unknown};
use super::meta::Kind;

/// By what else than its name an object is looked up, within its namespace.
pub trait Index {
    /// The terms, e.g. the name of the Service that a slice belongs to.
    fn terms(&self) -> Vec<Box<str>> {
        Vec::new()
    }
}

/// The objects of one namespace.
#[derive(Debug, Clone)]
struct Namespaced<T> {
    objects: BTreeMap<Box<str>, Arc<T>>,
    terms: BTreeMap<Box<str>, BTreeSet<Box<str>>>,
}

impl<T> Default for Namespaced<T> {
    fn default() -> Self {
        Self { objects: BTreeMap::new(), terms: BTreeMap::new() }
    }
}

/// The objects of one kind. Objects of a cluster-scoped kind have the empty namespace.
#[derive(Debug, Clone)]
pub struct Collection<T> {
    namespaces: BTreeMap<Box<str>, Namespaced<T>>,
    malformed: BTreeMap<(Box<str>, Box<str>), Box<str>>,
    unread: Option<Unknown>,
    missed: Missed,
}

impl<T> Default for Collection<T> {
    fn default() -> Self {
        Self { namespaces: BTreeMap::new(), malformed: BTreeMap::new(), unread: None, missed: Missed::default() }
    }
}

/// Whether somebody looked for the kind while it had not been read: whoever reads only what is needed learns from it what is.
#[derive(Debug, Default)]
struct Missed(AtomicBool);

impl Clone for Missed {
    fn clone(&self) -> Self {
        Self(AtomicBool::new(self.0.load(Ordering::Relaxed)))
    }
}

impl<T: Kind + Index> Collection<T> {
    /// One object.
    pub fn get(&self, namespace: &str, name: &str) -> Observed<&T> {
        if let Some(object) = self.namespaces.get(namespace).and_then(|held| held.objects.get(name)) {
            return Observed::Present(object);
        }
        if let Some(why) = &self.unread {
            self.miss();
            return Observed::Unknown(why.clone());
        }
        match self.malformed.get(&(namespace.into(), name.into())) {
            Some(message) => {
                let resource = format!("{}/{namespace}/{name}", T::resource());
                Observed::Unknown(Unknown::new(Source::Kubernetes, resource, "Malformed", message.clone()))
            }
            None => Observed::Absent,
        }
    }

    /// Whether the kind could be read in this namespace.
    pub fn readable(&self, _namespace: &str) -> Result<(), Unknown> {
        self.miss();
        self.unread.clone().map_or(Ok(()), Err)
    }

    /// All objects of a namespace, by name.
    pub fn in_namespace(&self, namespace: &str) -> Result<impl Iterator<Item = &T>, Unknown> {
        self.readable(namespace)?;
        Ok(self.namespaces.get(namespace).into_iter().flat_map(|held| held.objects.values().map(AsRef::as_ref)))
    }

    /// All objects, by namespace and name.
    pub fn all(&self) -> Result<impl Iterator<Item = &T>, Unknown> {
        self.readable("")?;
        Ok(self.iter())
    }

    /// All objects that were seen, whether or not the kind is readable now.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.miss();
        self.namespaces.values().flat_map(|held| held.objects.values().map(AsRef::as_ref))
    }

    /// The namespaces in which an object of this name is, one that could not be decoded included.
    pub fn namespaces_with(&self, name: &str) -> Vec<&str> {
        self.miss();
        let held = self.namespaces.iter().filter(|(_, held)| held.objects.contains_key(name)).map(|(namespace, _)| &**namespace);
        let malformed = self.malformed.keys().filter(|(_, other)| &**other == name).map(|(namespace, _)| &**namespace);
        let mut namespaces: Vec<_> = held.chain(malformed).collect();
        namespaces.sort_unstable();
        namespaces.dedup();
        namespaces
    }

    /// The objects of a namespace that carry a term, by name.
    pub fn find(&self, namespace: &str, term: &str) -> Result<Vec<&T>, Unknown> {
        self.readable(namespace)?;
        let Some(held) = self.namespaces.get(namespace) else { return Ok(Vec::new()) };
        let names = held.terms.get(term).into_iter().flatten();
        Ok(names.filter_map(|name| held.objects.get(name)).map(AsRef::as_ref).collect())
    }

    /// How many objects of a namespace carry a term.
    pub fn count(&self, namespace: &str, term: &str) -> usize {
        self.namespaces.get(namespace).and_then(|held| held.terms.get(term)).map_or(0, BTreeSet::len)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.namespaces.values().map(|held| held.objects.len()).sum()
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts an object in, in place of an earlier version; gives that version back.
    pub fn insert(&mut self, object: T) -> Option<Arc<T>> {
        let meta = object.meta();
        let (namespace, name) = (meta.namespace.clone(), meta.name.clone());
        let before = self.remove(&namespace, &name);
        let held = self.namespaces.entry(namespace).or_default();
        for term in object.terms() {
            held.terms.entry(term).or_default().insert(name.clone());
        }
        held.objects.insert(name, Arc::new(object));
        before
    }

    /// Takes an object out.
    pub fn remove(&mut self, namespace: &str, name: &str) -> Option<Arc<T>> {
        if !self.malformed.is_empty() {
            self.malformed.remove(&(namespace.into(), name.into()));
        }
        let held = self.namespaces.get_mut(namespace)?;
        let object = held.objects.remove(name)?;
        for term in object.terms() {
            if let Some(names) = held.terms.get_mut(&term) {
                names.remove(name);
                if names.is_empty() {
                    held.terms.remove(&term);
                }
            }
        }
        if held.objects.is_empty() {
            self.namespaces.remove(namespace);
        }
        Some(object)
    }

    /// Remembers that an object is there and cannot be understood.
    pub fn insert_malformed(&mut self, namespace: &str, name: &str, message: &str) {
        self.remove(namespace, name);
        self.malformed.insert((namespace.into(), name.into()), message.into());
    }

    /// Decodes a JSON object and puts it in; the error says what is wrong with it.
    pub fn insert_json(&mut self, object: serde_json::Value, namespace: &str, name: &str) -> Result<(), String> {
        match T::deserialize(object) {
            Ok(object) => {
                self.insert(object);
                Ok(())
            }
            Err(error) => {
                let message = error.to_string();
                self.insert_malformed(namespace, name, &message);
                Err(message)
            }
        }
    }

    /// An object of the kind without the fields that no rule reads; `None` when it cannot be decoded.
    pub fn known_fields(&self, object: &serde_json::Value) -> Option<serde_json::Value> {
        super::super::fields::known::<T>(object)
    }

    /// Says why the kind cannot be read, or that it can be again.
    pub fn set_unread(&mut self, why: Option<Unknown>) {
        self.unread = why;
    }

    /// Why the kind cannot be read.
    pub fn unread(&self) -> Option<&Unknown> {
        self.unread.as_ref()
    }

    fn miss(&self) {
        if self.unread.is_some() {
            self.missed.0.store(true, Ordering::Relaxed);
        }
    }

    /// The kind's resource name, when it was not read so far and somebody looked for it.
    pub(super) fn missed(&self) -> Option<String> {
        let unread = self.unread.as_ref().is_some_and(|why| &*why.reason == "NotRead");
        (unread && self.missed.0.load(Ordering::Relaxed)).then(T::resource)
    }

    pub(super) fn is_kind(&self, kind: &str, group: &str) -> bool {
        kind == T::KIND && group == T::GROUP
    }

    pub(super) fn is_resource(&self, resource: &str) -> bool {
        resource == T::PLURAL || resource == T::resource()
    }

    /// Takes everything out, but not the memory of what could not be read.
    pub fn clear(&mut self) {
        self.namespaces.clear();
        self.malformed.clear();
    }
}
