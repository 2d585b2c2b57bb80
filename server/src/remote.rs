//! Stores elsewhere that speak PromQL themselves: Prometheus, VictoriaMetrics, Mimir. They get the query as it is, after our own
//! words and functions were replaced by theirs.

use std::time::Duration;

use promql::{Answer, Element, Labels, Sample, Series, Span, Value};
use reqwest::header::CONTENT_TYPE;
use serde_json::Value as Json;

use crate::secret;

/// Largest answer.
const MAX_BYTES: usize = 64 << 20;
/// Longest error text that is shown, characters.
const MAX_ERROR_CHARS: usize = 1_000;

/// What a query is asked for.
#[derive(Debug, Clone, Copy)]
pub enum Asked {
    /// Unix time, ms.
    Instant(i64),
    /// From when to when, and the step in ms.
    Range(Span, i64),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The URL, without its login.
    #[error("{0} is no address such as http://prometheus:9090")]
    Url(String),
    /// It cannot be reached, or did not answer in time.
    #[error("no answer")]
    Http(#[source] reqwest::Error),
    /// It refuses the query.
    #[error("it refuses the query: {0}")]
    Refused(String),
    /// Not the JSON of Prometheus's API.
    #[error(
        "no Prometheus answers there (status {0}): is a path missing in the address, such as /prometheus?"
    )]
    Foreign(u16),
    /// More than [`MAX_BYTES`].
    #[error("the answer has more than {MAX_BYTES} bytes: ask for fewer series, or with a longer step")]
    TooLarge,
}

/// A store elsewhere.
#[derive(Debug)]
pub struct Remote {
    client: reqwest::Client,
    url: reqwest::Url,
}

impl Remote {
    /// At this address, of which a path and a login may be a part.
    pub fn new(url: &str, timeout: Duration) -> Result<Self, RemoteError> {
        let wrong = || RemoteError::Url(secret::hide(url));
        let parsed: reqwest::Url = url.trim_end_matches('/').parse().map_err(|_| wrong())?;
        if !["http", "https"].contains(&parsed.scheme()) {
            return Err(wrong());
        }
        let client = reqwest::Client::builder().timeout(timeout).build().map_err(without_url)?;
        Ok(Self { client, url: parsed })
    }

    /// Asks. `lookback_ms`: how old the newest sample of a series may be, where the store takes that (Prometheus from 2.38 on).
    pub async fn ask(&self, query: &str, asked: Asked, lookback_ms: i64) -> Result<Answer, RemoteError> {
        let seconds = |ms: i64| format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000));
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("query", query).append_pair("lookback_delta", &seconds(lookback_ms));
        let name = match asked {
            Asked::Instant(at_ms) => {
                form.append_pair("time", &seconds(at_ms));
                "query"
            }
            Asked::Range(span, step_ms) => {
                for (name, ms) in [("start", span.from_ms), ("end", span.to_ms), ("step", step_ms)] {
                    form.append_pair(name, &seconds(ms));
                }
                "query_range"
            }
        };
        let mut url = self.url.clone();
        url.set_path(&format!("{}/api/v1/{name}", url.path().trim_end_matches('/')));
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.finish());
        let mut response = request.send().await.map_err(without_url)?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(without_url)? {
            body.extend_from_slice(&chunk);
            if body.len() > MAX_BYTES {
                return Err(RemoteError::TooLarge);
            }
        }
        let json: Json = serde_json::from_slice(&body).map_err(|_| RemoteError::Foreign(status))?;
        if let Some(error) = json["error"].as_str() {
            return Err(RemoteError::Refused(error.chars().take(MAX_ERROR_CHARS).collect()));
        }
        answer(&json).ok_or(RemoteError::Foreign(status))
    }
}

/// The URL may hold a password: errors leave it out.
fn without_url(error: reqwest::Error) -> RemoteError {
    RemoteError::Http(error.without_url())
}

fn answer(json: &Json) -> Option<Answer> {
    let texts = |name: &str| {
        let texts = json[name].as_array().map_or(&[][..], Vec::as_slice);
        texts.iter().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
    };
    Some(Answer { value: value(&json["data"])?, warnings: texts("warnings"), infos: texts("infos") })
}

/// The `data` object.
fn value(data: &Json) -> Option<Value> {
    let result = &data["result"];
    let list = || result.as_array().map(|list| list.iter());
    Some(match data["resultType"].as_str()? {
        "scalar" => Value::Scalar(sample(result)?),
        "string" => Value::String { at_ms: milliseconds(&result[0])?, text: result[1].as_str()?.to_owned() },
        "vector" => {
            let element = |one: &Json| Some(Element { labels: labels(one)?, sample: sample(&one["value"])? });
            Value::Vector(list()?.map(element).collect::<Option<_>>()?)
        }
        "matrix" => {
            let series = |one: &Json| {
                let samples = one["values"].as_array()?.iter().map(sample).collect::<Option<_>>()?;
                Some(Series { labels: labels(one)?, samples })
            };
            Value::Matrix(list()?.map(series).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

fn labels(one: &Json) -> Option<Labels> {
    let pairs = one["metric"].as_object()?.iter();
    let pairs = pairs.map(|(name, value)| Some((name.as_str().into(), value.as_str()?.into())));
    pairs.collect::<Option<Vec<_>>>().map(Labels::new)
}

fn sample(json: &Json) -> Option<Sample> {
    Some(Sample { at_ms: milliseconds(&json[0])?, value: json[1].as_str()?.parse().ok()? })
}

fn milliseconds(json: &Json) -> Option<i64> {
    Some((json.as_f64()? * 1e3).round() as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_read_as_they_are_written() {
        let labels = Labels::new([("__name__".into(), "up".into())]);
        let sample = Sample { at_ms: 1_500, value: f64::INFINITY };
        for value in [
            Value::Scalar(sample),
            Value::String { at_ms: 1_500, text: "a\"b".to_owned() },
            Value::Vector(vec![Element { labels: labels.clone(), sample }]),
            Value::Matrix(vec![Series { labels, samples: vec![sample] }]),
        ] {
            let data: Json = serde_json::from_str(&crate::api::value(&value)).expect("JSON");
            let read =
                answer(&json!({ "status": "success", "data": data, "infos": ["i"] })).expect("an answer");
            assert_eq!((read.value, read.infos), (value, vec!["i".to_owned()]));
        }
        for foreign in [json!({}), json!([]), json!({ "data": { "resultType": "vector", "result": [{}] } })] {
            assert!(answer(&foreign).is_none(), "{foreign}");
        }
    }

    #[test]
    fn an_address_is_of_http() {
        for wrong in ["", "prometheus:9090", "ftp://host", "not a url"] {
            assert!(
                matches!(Remote::new(wrong, Duration::from_secs(1)), Err(RemoteError::Url(_))),
                "{wrong}"
            );
        }
        let error =
            Remote::new("ftp://me:hush@host", Duration::from_secs(1)).expect_err("no HTTP").to_string();
        assert!(error.contains("ftp://…@host") && !error.contains("hush"), "{error}");
    }
}
