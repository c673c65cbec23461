//! What Prometheus answers.
//!
//! In: the `data` of its API. Out: samples, series, alerts, rules. Pure.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;

/// Label names and values.
pub type Labels = BTreeMap<String, String>;

/// One value of an expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Its labels, `__name__` among them where it has one.
    pub labels: Labels,
    /// The value.
    pub value: f64,
}

impl Sample {
    /// The value of a label; empty when it is not there, as in Prometheus.
    #[must_use]
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map(String::as_str).unwrap_or_default()
    }

    pub(super) fn list(data: &Value) -> Result<Vec<Self>> {
        match data["resultType"].as_str() {
            Some("vector") => rows(data).map(|row| Ok(Self { labels: labels(row)?, value: number(&row["value"][1])? })).collect(),
            Some("scalar") => Ok(vec![Self { labels: Labels::new(), value: number(&data["result"][1])? }]),
            other => bail!("neither a vector nor a scalar: {other:?}"),
        }
    }
}

/// The values of an expression over time.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Unix time and value.
    pub values: Vec<(f64, f64)>,
}

impl Series {
    pub(super) fn list(data: &Value) -> Result<Vec<Self>> {
        rows(data)
            .map(|row| {
                let values = row["values"].as_array().context("no values")?;
                let values = values.iter().map(|pair| Ok((pair[0].as_f64().context("no time")?, number(&pair[1])?)));
                Ok(Self { labels: labels(row)?, values: values.collect::<Result<_>>()? })
            })
            .collect()
    }
}

/// An alert that is pending or firing.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// `pending` or `firing`.
    pub state: String,
    /// Its labels, `alertname` among them.
    pub labels: Labels,
    /// Its annotations, filled in.
    pub annotations: Labels,
    /// Since when its expression holds.
    pub active_at: String,
}

impl Alert {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.labels.get("alertname").map(String::as_str).unwrap_or_default()
    }

    /// It has been there for as long as its rule wants it.
    #[must_use]
    pub fn fires(&self) -> bool {
        self.state == "firing"
    }
}

/// A rule and how its last evaluation went.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleState {
    /// Name of the alert, or of the series that is recorded.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// `ok`, `err` or `unknown` (not evaluated yet).
    pub health: String,
    /// Why it is `err`.
    #[serde(default)]
    pub last_error: String,
}

fn rows(data: &Value) -> impl Iterator<Item = &Value> {
    data["result"].as_array().into_iter().flatten()
}

fn labels(row: &Value) -> Result<Labels> {
    serde_json::from_value(row["metric"].clone()).context("no labels")
}

fn number(value: &Value) -> Result<f64> {
    let text = value.as_str().context("no number")?;
    match text {
        "+Inf" => Ok(f64::INFINITY),
        "-Inf" => Ok(f64::NEG_INFINITY),
        _ => text.parse().with_context(|| format!("not a number: {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_prometheus_answers_is_read() {
        let vector = json!({"resultType": "vector", "result": [{"metric": {"a": "b"}, "value": [1.5, "+Inf"]}]});
        let samples = Sample::list(&vector).unwrap();
        assert_eq!((samples[0].label("a"), samples[0].label("c"), samples[0].value), ("b", "", f64::INFINITY));
        assert_eq!(Sample::list(&json!({"resultType": "scalar", "result": [1, "2"]})).unwrap()[0].value, 2.0);
        assert!(Sample::list(&json!({"resultType": "string", "result": [1, "x"]})).is_err());
        let matrix = json!({"resultType": "matrix", "result": [{"metric": {}, "values": [[1, "2"], [2, "NaN"]]}]});
        assert!(Series::list(&matrix).unwrap()[0].values[1].1.is_nan());
    }
}
