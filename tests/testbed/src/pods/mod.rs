//! What pods answer to an HTTP probe, on 127.0.0.1.
//!
//! In: the recorded answers of `probes.yaml`. Out: one local port per probed address, and a table
//! from the one to the other. Never answers a path for which nothing is recorded with anything but
//! 404.

mod reply;
mod serve;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use jiff::Timestamp;
use tokio::task::JoinHandle;

use crate::port::Port;
use crate::world::Probe;
pub use reply::Reply;
use reply::{Answer, Scheme};
use serve::Tls;

/// A request that a pod received.
#[derive(Clone, Debug)]
pub struct Request {
    /// `IP:PORT` of the pod.
    pub address: String,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Headers by lower-case name; what is not text is left out.
    pub headers: BTreeMap<String, String>,
    /// Whether it came over TLS.
    pub tls: bool,
    /// When it was received.
    pub at: Timestamp,
}

/// Running pods; they end when the value is dropped.
#[derive(Debug)]
pub struct Pods {
    tls: Tls,
    log: Arc<Mutex<Vec<Request>>>,
    listeners: Mutex<BTreeMap<String, Listener>>,
}

#[derive(Debug)]
struct Listener {
    port: Port,
    behaviour: Arc<Mutex<Behaviour>>,
    task: Option<JoinHandle<()>>,
}

/// How one address behaves.
#[derive(Debug, Default)]
struct Behaviour {
    scheme: Scheme,
    /// The first that fits a request is given.
    answers: Vec<Answer>,
}

impl Pods {
    /// Starts a listener for each probed address.
    ///
    /// # Errors
    /// When there is no free port, or an answer is neither a status nor a known error.
    pub async fn start(probes: &[Probe]) -> Result<Self> {
        let pods = Self { tls: Tls::self_signed()?, log: Arc::default(), listeners: Mutex::default() };
        let mut behaviours: BTreeMap<String, Behaviour> = BTreeMap::new();
        for probe in probes {
            let behaviour = behaviours.entry(address(&probe.ip, probe.port)).or_default();
            behaviour.scheme = Scheme::named(&probe.scheme);
            behaviour.answers.push(
                Answer::recorded(probe).with_context(|| format!("the probe of {} {}:{}", probe.pod, probe.ip, probe.port))?,
            );
        }
        for (address, behaviour) in behaviours {
            pods.behave(&address, behaviour)?;
        }
        Ok(pods)
    }

    /// Local addresses by `IP:PORT`: the setting `probe.connectTo`.
    #[must_use]
    pub fn connect_to(&self) -> BTreeMap<String, String> {
        self.listeners().iter().map(|(address, listener)| (address.clone(), listener.port.address().to_string())).collect()
    }

    /// The same, and for each of `addresses` (`IP:PORT`) that has no recorded answer a port that
    /// refuses, until [`Pods::set`].
    ///
    /// # Errors
    /// When there is no free port.
    pub fn connect_to_for<S: AsRef<str>>(&self, addresses: impl IntoIterator<Item = S>) -> Result<BTreeMap<String, String>> {
        for address in addresses {
            if !self.listeners().contains_key(address.as_ref()) {
                self.behave(
                    address.as_ref(),
                    Behaviour { scheme: Scheme::Http, answers: vec![Answer::to_all(Reply::ConnectionRefused)] },
                )?;
            }
        }
        Ok(self.connect_to())
    }

    /// From now on the pod at this address gives `reply` to every request, whatever was recorded.
    /// The scheme stays.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn set(&self, ip: &str, port: u16, reply: Reply) -> Result<()> {
        let address = address(ip, port);
        let scheme = self.listeners().get(&address).map(|listener| listener.behaviour().scheme).unwrap_or_default();
        self.behave(&address, Behaviour { scheme, answers: vec![Answer::to_all(reply)] })
    }

    /// From now on the pod at this address gives `reply` to requests for `path`; other paths stay
    /// as they were.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn set_path(&self, ip: &str, port: u16, path: &str, reply: Reply) -> Result<()> {
        let address = address(ip, port);
        let before = self.listeners().get(&address).map(|listener| {
            let behaviour = listener.behaviour();
            Behaviour { scheme: behaviour.scheme, answers: behaviour.answers.clone() }
        });
        let mut behaviour = before.unwrap_or_default();
        behaviour.answers.retain(|answer| answer.path.as_deref() != Some(path));
        behaviour.answers.insert(0, Answer::to_path(path, reply));
        self.behave(&address, behaviour)
    }

    /// All requests, in the order in which they came. What did not become an HTTP request is not
    /// among them.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the requests.
    pub fn clear_requests(&self) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn listeners(&self) -> MutexGuard<'_, BTreeMap<String, Listener>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes how an address behaves; its local port stays the same for good.
    fn behave(&self, address: &str, behaviour: Behaviour) -> Result<()> {
        let refuses = behaviour.answers.first().is_some_and(|answer| answer.reply == Reply::ConnectionRefused);
        let mut listeners = self.listeners();
        if !listeners.contains_key(address) {
            let listener = Listener { port: Port::take()?, behaviour: Arc::default(), task: None };
            listeners.insert(address.to_owned(), listener);
        }
        let Some(listener) = listeners.get_mut(address) else {
            return Ok(());
        };
        *listener.behaviour() = behaviour;
        if refuses {
            listener.stop();
        } else if listener.task.is_none() {
            let socket = listener.port.listen()?;
            let pod = serve::Pod {
                address: address.to_owned(),
                behaviour: Arc::clone(&listener.behaviour),
                tls: self.tls.clone(),
                log: Arc::clone(&self.log),
            };
            listener.task = Some(tokio::spawn(pod.listen(socket)));
        }
        Ok(())
    }
}

impl Listener {
    fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

fn address(ip: &str, port: u16) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}
