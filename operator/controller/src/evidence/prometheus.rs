//! One instant query.

use hozen_domain::{
    evidence::read,
    plan::Ask,
    units::{Span, after},
    world::Evidence,
};
use hozen_intake::problem::told;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{cut, nothing};

/// An answer with more is none for a gate.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How old a sample may be that the server answers with; it would take five minutes otherwise. What is observed is of no earlier time
/// than this before the query, and so dated. (A range in the query itself looks back further; that is its author's.)
const LOOKBACK: Span = Span::minutes(1);

#[derive(Deserialize)]
struct Answer {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

#[derive(Deserialize)]
struct Sample {
    value: (Value, String),
}

/// Asks the server for the query at this instant.
pub(super) async fn observe(
    http: &reqwest::Client,
    url: &str,
    query: &str,
    ask: &Ask,
    now: Timestamp,
) -> Evidence {
    let at = after(now, -LOOKBACK.duration());
    match samples(http, url, query, now).await {
        Ok(samples) => Evidence { at, said: read(ask, &samples) },
        Err(why) => nothing(at, cut(&why)),
    }
}

async fn samples(
    http: &reqwest::Client,
    url: &str,
    query: &str,
    now: Timestamp,
) -> Result<Vec<f64>, String> {
    let parameters = [
        ("query", query.to_owned()),
        ("time", now.to_string()),
        ("timeout", "15s".to_owned()),
        ("lookback_delta", LOOKBACK.to_string()),
    ];
    let url = format!("{}/api/v1/query", url.trim_end_matches('/'));
    let request = http.post(&url).form(&parameters);
    let mut response = request.send().await.map_err(|error| told(&error))?;
    let status = response.status();
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| told(&error))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(format!("{url} answers with more than {ANSWER_BYTES_MAX} bytes"));
        }
    }
    let answer: Answer = serde_json::from_slice(&bytes)
        .map_err(|_| format!("{url} answers {status} and nothing that Prometheus would"))?;
    if answer.status != "success" || !status.is_success() {
        let error = answer.error.unwrap_or_default();
        return Err(format!("Prometheus refuses the query: {error}"));
    }
    let data = answer.data.ok_or("Prometheus answers without data")?;
    numbers(data)
}

fn numbers(data: Data) -> Result<Vec<f64>, String> {
    let form = |_| "Prometheus answers in a form that is not known".to_owned();
    let texts: Vec<String> = match data.result_type.as_str() {
        "vector" => {
            let samples: Vec<Sample> = serde_json::from_value(data.result).map_err(form)?;
            samples.into_iter().map(|sample| sample.value.1).collect()
        }
        "scalar" => {
            let (_, text): (Value, String) = serde_json::from_value(data.result).map_err(form)?;
            vec![text]
        }
        other => return Err(format!("the query gives a {}, not numbers", cut(other))),
    };
    let number =
        |text: String| text.parse::<f64>().map_err(|_| format!("{} is no number", cut(&text)));
    texts.into_iter().map(number).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn data(kind: &str, result: Value) -> Result<Vec<f64>, String> {
        numbers(Data { result_type: kind.to_owned(), result })
    }

    #[test]
    fn numbers_are_read_as_prometheus_writes_them() {
        let vector =
            json!([{"metric": {}, "value": [1.5, "0.25"]}, {"metric": {}, "value": [1.5, "+Inf"]}]);
        assert_eq!(data("vector", vector), Ok(vec![0.25, f64::INFINITY]));
        assert_eq!(data("scalar", json!([1.5, "3"])), Ok(vec![3.0]));
        assert!(data("scalar", json!([1.5, "NaN"])).unwrap()[0].is_nan());
        assert_eq!(data("vector", json!([])), Ok(Vec::new()));
    }

    #[test]
    fn i29_what_is_no_number_is_an_error() {
        assert!(data("matrix", json!([])).is_err());
        assert!(data("vector", json!([{"metric": {}}])).is_err());
        assert!(data("scalar", json!([1.5, "much"])).is_err());
    }
}
