//! One call of the API, read from its request.

use std::collections::BTreeMap;

use http::{Method, header, request::Parts};
use serde_json::Value;
use tokio::time::Instant;

use crate::{patch::Form, refusal::Refusal, server::now};

/// Bytes of a request that the server reads.
const REQUEST_BYTES_MAX: usize = 3 << 20;

/// What is asked for, as RBAC names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// One object.
    Get,
    /// Many.
    List,
    /// Their changes.
    Watch,
    /// A new object.
    Create,
    /// An object, whole.
    Update,
    /// A part of an object.
    Patch(Form),
    /// The end of an object.
    Delete,
    /// The end of many.
    DeleteCollection,
}

impl Verb {
    /// As RBAC writes it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch(_) => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it changes something.
    pub const fn writes(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }
}

/// A call.
#[derive(Clone, Debug)]
pub struct Call {
    /// As whom the server knows the caller.
    pub user: String,
    /// Which of that user's processes, as the trace names it; empty: a part of the cluster, or a test.
    pub client: String,
    /// When it left the caller.
    pub sent: Instant,
    /// What is asked for.
    pub verb: Verb,
    /// API group; empty for the core.
    pub group: String,
    /// Plural of the kind.
    pub resource: String,
    /// Part of an object, or empty.
    pub subresource: String,
    /// Namespace, or empty.
    pub namespace: String,
    /// Name, or empty.
    pub name: String,
    /// Query of the request.
    pub query: BTreeMap<String, String>,
    /// Body, or null.
    pub body: Value,
    /// Length of the body.
    pub bytes: usize,
    /// Only the metadata is wanted.
    pub metadata_only: bool,
    /// The client program: it owns what is written, where the query does not say who.
    pub agent: String,
}

impl Call {
    /// Reads a request.
    pub fn read(user: &str, parts: &Parts, body: &[u8]) -> Result<Self, Refusal> {
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let place = Place::of(parts.uri.path())?;
        let header = |name: header::HeaderName| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let watched =
            query.get("watch").is_some_and(|watch| matches!(watch.as_str(), "true" | "1"));
        let named = !place.name.is_empty();
        let verb = match parts.method {
            Method::GET if watched => Verb::Watch,
            Method::GET if named => Verb::Get,
            Method::GET => Verb::List,
            Method::POST => Verb::Create,
            Method::PUT => Verb::Update,
            Method::PATCH => {
                let form = Form::of(header(header::CONTENT_TYPE));
                let message = "the body of the request was in an unknown format";
                let unknown = || Refusal::new(415, "UnsupportedMediaType", message);
                Verb::Patch(form.ok_or_else(unknown)?)
            }
            Method::DELETE if named => Verb::Delete,
            Method::DELETE => Verb::DeleteCollection,
            _ => {
                let message = "the server does not allow this method on the requested resource";
                return Err(Refusal::new(405, "MethodNotAllowed", message));
            }
        };
        if body.len() > REQUEST_BYTES_MAX {
            let message = format!("Request entity too large: limit is {REQUEST_BYTES_MAX}");
            return Err(Refusal::new(413, "RequestEntityTooLarge", message));
        }
        let accept = header(header::ACCEPT);
        if accept.contains("as=Table") {
            return Err(Refusal::new(406, "NotAcceptable", "this server prints no tables"));
        }
        let value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(body).map_err(|error| Refusal::bad(error.to_string()))?
        };
        let agent = header(header::USER_AGENT).split('/').next().unwrap_or_default();
        Ok(Self {
            user: user.to_owned(),
            client: String::new(),
            sent: now(),
            verb,
            group: place.group,
            resource: place.resource,
            subresource: place.subresource,
            namespace: place.namespace,
            name: place.name,
            query,
            body: value,
            bytes: body.len(),
            metadata_only: accept.contains("as=PartialObjectMetadata"),
            agent: if agent.is_empty() { "unknown".to_owned() } else { agent.to_owned() },
        })
    }

    /// A call that no request was: of a part of the cluster, or of a test.
    pub fn of(user: &str, verb: Verb, resource: (&str, &str), place: (&str, &str)) -> Self {
        Self {
            user: user.to_owned(),
            client: String::new(),
            sent: now(),
            verb,
            group: resource.0.to_owned(),
            resource: resource.1.to_owned(),
            subresource: String::new(),
            namespace: place.0.to_owned(),
            name: place.1.to_owned(),
            query: BTreeMap::new(),
            body: Value::Null,
            bytes: 0,
            metadata_only: false,
            agent: user.to_owned(),
        }
    }

    /// With a body.
    #[must_use]
    pub fn with(self, body: Value) -> Self {
        Self { body, ..self }
    }

    /// To a part of the object.
    #[must_use]
    pub fn at(self, subresource: &str) -> Self {
        Self { subresource: subresource.to_owned(), ..self }
    }

    /// Who owns what is written.
    pub fn manager(&self) -> &str {
        self.query.get("fieldManager").map_or(&self.agent, |manager| manager)
    }

    /// `resource/subresource`, as RBAC names it.
    pub fn rbac_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

/// Where a path leads.
#[derive(Default)]
struct Place {
    group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

impl Place {
    fn of(path: &str) -> Result<Self, Refusal> {
        let unknown =
            || Refusal::new(404, "NotFound", "the server could not find the requested resource");
        let mut parts = path.split('/').filter(|part| !part.is_empty());
        let group = match parts.next() {
            Some("api") => String::new(),
            Some("apis") => parts.next().ok_or_else(unknown)?.to_owned(),
            // `/version` and the like.
            Some(other) => return Ok(Self { resource: other.to_owned(), ..Self::default() }),
            None => return Err(unknown()),
        };
        parts.next().ok_or_else(unknown)?;
        let rest: Vec<&str> = parts.collect();
        let own = |text: &str| text.to_owned();
        let (namespace, rest) = match rest.as_slice() {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() && rest != ["status"] => {
                (own(namespace), rest)
            }
            rest => (String::new(), rest),
        };
        let mut place = Self { group, namespace, ..Self::default() };
        match rest {
            [resource] => place.resource = own(resource),
            [resource, name] => (place.resource, place.name) = (own(resource), own(name)),
            [resource, name, subresource] => {
                (place.resource, place.name) = (own(resource), own(name));
                place.subresource = own(subresource);
            }
            _ => return Err(unknown()),
        }
        Ok(place)
    }
}
