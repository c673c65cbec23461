//! etcd's JSON gateway.
//!
//! In: keys and values. Out: the same, in etcd. Never more than 128 operations, or about a
//! megabyte, in one transaction.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

const OPERATIONS: usize = 128;
const BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Etcd {
    url: String,
    client: reqwest::Client,
}

/// A value and the revision of its last change, for [`Etcd::replace`].
pub(super) struct Stored {
    pub(super) value: Vec<u8>,
    pub(super) revision: String,
}

impl Etcd {
    pub(super) fn new(url: String) -> Result<Self> {
        rustls::crypto::ring::default_provider().install_default().ok();
        let client = reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([])
            .timeout(Duration::from_secs(60))
            .build()
            .context("no HTTP client")?;
        Ok(Self { url, client })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) async fn is_healthy(&self) -> bool {
        self.call("/v3/kv/range", &json!({"key": BASE64.encode("/")})).await.is_ok()
    }

    /// Puts pairs in their order; each transaction is atomic, the whole is not.
    pub(super) async fn put(&self, pairs: impl IntoIterator<Item = (String, String)>) -> Result<()> {
        let operations = pairs.into_iter().map(|(key, value)| {
            let size = key.len() + value.len();
            (json!({"requestPut": {"key": BASE64.encode(key), "value": BASE64.encode(value)}}), size)
        });
        self.transactions(operations).await
    }

    /// Deletes keys in their order.
    pub(super) async fn delete(&self, keys: impl IntoIterator<Item = String>) -> Result<()> {
        let operations = keys.into_iter().map(|key| (json!({"requestDeleteRange": {"key": BASE64.encode(&key)}}), key.len()));
        self.transactions(operations).await
    }

    /// Deletes all keys that begin with `prefix`.
    pub(super) async fn delete_below(&self, prefix: &str) -> Result<()> {
        let mut end = prefix.as_bytes().to_vec();
        let last = end.last_mut().context("an empty prefix is everything")?;
        *last += 1;
        self.call("/v3/kv/deleterange", &json!({"key": BASE64.encode(prefix), "range_end": BASE64.encode(end)})).await?;
        Ok(())
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<Stored>> {
        let answer = self.call("/v3/kv/range", &json!({"key": BASE64.encode(key)})).await?;
        let Some(pair) = answer.pointer("/kvs/0") else {
            return Ok(None);
        };
        let value = BASE64.decode(pair["value"].as_str().unwrap_or_default()).context("etcd's value is not base64")?;
        let revision = pair["mod_revision"].as_str().unwrap_or_default().to_owned();
        Ok(Some(Stored { value, revision }))
    }

    /// Puts a value unless the key was changed since `revision`; false when it was.
    pub(super) async fn replace(&self, key: &str, value: &[u8], revision: &str) -> Result<bool> {
        let key = BASE64.encode(key);
        let answer = self
            .call(
                "/v3/kv/txn",
                &json!({
                    "compare": [{"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": revision}],
                    "success": [{"requestPut": {"key": key, "value": BASE64.encode(value)}}],
                }),
            )
            .await?;
        Ok(answer["succeeded"] == Value::Bool(true))
    }

    async fn transactions(&self, operations: impl Iterator<Item = (Value, usize)>) -> Result<()> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        for (operation, size) in operations {
            if batch.len() == OPERATIONS || (bytes + size > BYTES && !batch.is_empty()) {
                self.transaction(std::mem::take(&mut batch)).await?;
                bytes = 0;
            }
            bytes += size;
            batch.push(operation);
        }
        if batch.is_empty() { Ok(()) } else { self.transaction(batch).await }
    }

    async fn transaction(&self, operations: Vec<Value>) -> Result<()> {
        self.call("/v3/kv/txn", &json!({"success": operations})).await.map(drop)
    }

    async fn call(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.client.post(format!("{}{path}", self.url)).json(body).send().await.context("etcd does not answer")?;
        let status = answer.status();
        let text = answer.text().await.context("etcd's answer was cut")?;
        if !status.is_success() {
            bail!("etcd answered {status} to {path}: {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("etcd's answer to {path} is not JSON"))
    }
}
