//! What the server says when it does not do what it was asked, in its own words.

use serde_json::{Value, json};

use crate::kind::Kind;

/// A refusal: the body of an answer that is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// HTTP status.
    pub code: u16,
    /// `reason` of the Status; may be empty.
    pub reason: &'static str,
    /// For people.
    pub message: String,
    /// `details` of the Status.
    pub details: Value,
    /// Seconds of a `Retry-After` header.
    pub retry_after: Option<u64>,
}

impl Refusal {
    /// One without details.
    pub fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { code, reason, message, details: Value::Null, retry_after: None }
    }

    /// The object is not there.
    pub fn not_found(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" not found", kind.resource());
        Self::new(404, "NotFound", message).about(kind, name)
    }

    /// The name is taken.
    pub fn already_exists(kind: &Kind, name: &str) -> Self {
        let message = format!("{} \"{name}\" already exists", kind.resource());
        Self::new(409, "AlreadyExists", message).about(kind, name)
    }

    /// The object is another than the writer saw.
    pub fn conflict(kind: &Kind, name: &str, why: &str) -> Self {
        let message =
            format!("Operation cannot be fulfilled on {} \"{name}\": {why}", kind.resource());
        Self::new(409, "Conflict", message).about(kind, name)
    }

    /// The object is not as its kind must be.
    pub fn invalid(kind: &Kind, name: &str, faults: &[String]) -> Self {
        let told = faults.join(", ");
        let message = format!("{} \"{name}\" is invalid: {told}", kind.kind);
        Self::new(422, "Invalid", message).about(kind, name)
    }

    /// The request has no sense.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// The moment that was asked for is not known any more.
    pub fn expired() -> Self {
        Self::new(410, "Expired", "The resourceVersion for the provided watch is too old.")
    }

    fn about(mut self, kind: &Kind, name: &str) -> Self {
        self.details = json!({"name": name, "group": kind.group, "kind": kind.plural});
        self
    }

    /// With causes.
    #[must_use]
    pub fn because(mut self, causes: Vec<Value>) -> Self {
        crate::json::fields(&mut self.details).insert("causes".into(), Value::Array(causes));
        self
    }

    /// As the body of an answer, or the object of an event.
    pub fn status(&self) -> Value {
        let Self { code, reason, message, details, retry_after: _ } = self;
        let mut status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {},
            "status": "Failure", "message": message, "code": code});
        if !reason.is_empty() {
            status["reason"] = (*reason).into();
        }
        if !details.is_null() {
            status["details"] = details.clone();
        }
        status
    }
}
