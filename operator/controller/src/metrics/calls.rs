//! Calls of the API server, counted where they leave: by verb and by what was answered.

use std::task::{Context, Poll};

use futures::{FutureExt as _, future::BoxFuture};
use http::{Method, Request, Response, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
};
use tower::{Layer, Service};

/// Calls by verb and answer.
pub type Calls = Family<CallLabels, Counter>;

/// Labels of a call; both are of a closed set.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    verb: &'static str,
    answer: &'static str,
}

/// Counts what goes through a client.
#[derive(Clone, Debug)]
pub struct CountCalls(Calls);

impl CountCalls {
    pub(super) const fn new(calls: Calls) -> Self {
        Self(calls)
    }
}

impl<S> Layer<S> for CountCalls {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, calls: self.0.clone() }
    }
}

/// A service whose calls are counted.
#[derive(Clone, Debug)]
pub struct Counted<S> {
    inner: S,
    calls: Calls,
}

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    R: 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (verb, calls) = (verb(&request), self.calls.clone());
        let counted = self.inner.call(request).map(move |answered| {
            let answer = answered.as_ref().map_or("none", |response| answer(response.status()));
            calls.get_or_create(&CallLabels { verb, answer }).inc();
            answered
        });
        counted.boxed()
    }
}

/// Kubernetes' verbs, as far as the method and the query tell them.
fn verb<B>(request: &Request<B>) -> &'static str {
    let watches = || request.uri().query().is_some_and(|query| query.contains("watch=true"));
    match *request.method() {
        Method::GET if watches() => "watch",
        Method::GET => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "other",
    }
}

/// Those that mean something of their own apart: a conflict, a refusal, too many.
fn answer(status: StatusCode) -> &'static str {
    match status.as_u16() {
        ..200 => "1xx",
        200..300 => "2xx",
        300..400 => "3xx",
        403 => "403",
        404 => "404",
        409 => "409",
        429 => "429",
        400..500 => "4xx",
        500.. => "5xx",
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;

    use super::*;
    use crate::metrics::Metrics;

    #[tokio::test]
    async fn each_call_is_counted_by_its_verb_and_its_answer() {
        let metrics = Metrics::default();
        let busy = tower::service_fn(async |request: Request<()>| {
            let code = if request.uri().path() == "/busy" { 429 } else { 201 };
            Response::builder().status(code).body(())
        });
        let counted = metrics.count_calls().layer(busy);
        for (method, path) in
            [("GET", "/api?watch=true"), ("POST", "/api"), ("POST", "/busy"), ("POST", "/busy")]
        {
            let request = Request::builder().method(method).uri(path).body(()).expect("a request");
            counted.clone().oneshot(request).await.expect("an answer");
        }
        let silent = metrics.count_calls().layer(tower::service_fn(async |_: Request<()>| {
            Err::<Response<()>, _>(std::io::Error::other("reset"))
        }));
        let request = Request::patch("/api").body(()).expect("a request");
        silent.oneshot(request).await.expect_err("nobody answers");
        let text = metrics.text();
        for line in [
            r#"hozen_api_calls_total{verb="watch",answer="2xx"} 1"#,
            r#"hozen_api_calls_total{verb="create",answer="2xx"} 1"#,
            r#"hozen_api_calls_total{verb="create",answer="429"} 2"#,
            r#"hozen_api_calls_total{verb="patch",answer="none"} 1"#,
        ] {
            assert!(text.contains(line), "{text}");
        }
    }
}
