//! What a write must be, and what it becomes: metadata, generation, status apart, preconditions, finalizers (S1, S2, S3, S4, S8, S14).

use std::sync::Arc;

use serde_json::{Value, json};

use crate::{
    call::{Call, Verb},
    json::{copy, fields, list, part, text},
    kind::Kind,
    owners::{How, Owner, Owners},
    patch::{self, patched},
    refusal::Refusal,
    schema::Form,
    server::{State, Transition, now},
    store::{Key, Object},
};

/// What etcd takes in one write.
const STORED_BYTES_MAX: usize = 1_572_864;
/// What a `ConfigMap` may hold.
const CONFIG_MAP_BYTES_MAX: usize = 1 << 20;
/// Finalizers of a deletion that waits for what is owned, and of one that leaves it.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
pub(crate) const ORPHAN: &str = "orphan";

/// A call, its kind and its key.
pub(crate) struct Target<'a> {
    pub(crate) call: &'a Call,
    pub(crate) place: usize,
    pub(crate) kind: Arc<Kind>,
    pub(crate) key: Key,
}

impl State {
    /// Does what a writing call asks: HTTP status and body of the answer.
    pub(crate) fn write(&mut self, call: &Call) -> Result<(u16, Value), Refusal> {
        let (place, kind) = self.kind(call)?;
        let namespace = if kind.namespaced { call.namespace.as_str() } else { "" };
        let key = Key::new(namespace, &call.name);
        let target = Target { call, place, kind, key };
        match call.verb {
            Verb::Create if call.subresource == "eviction" => self.evict(&target),
            Verb::Create => self.create(target),
            Verb::Update => self.update(&target),
            Verb::Patch(form) => self.patch(&target, form),
            Verb::Delete => self.delete(&target, &call.body),
            Verb::DeleteCollection => self.delete_many(&target),
            Verb::Get | Verb::List | Verb::Watch => Err(Refusal::bad("a read writes nothing")),
        }
    }

    fn create(&mut self, mut target: Target<'_>) -> Result<(u16, Value), Refusal> {
        let (call, kind) = (target.call, Arc::clone(&target.kind));
        let mut object = call.body.clone();
        formed(&kind, &object)?;
        let metadata = part(&mut object, "metadata");
        let name = match (metadata.get("name"), metadata.get("generateName")) {
            (Some(Value::String(name)), _) if !name.is_empty() => name.clone(),
            (_, Some(Value::String(prefix))) => {
                format!("{prefix}{:05x}", self.random.below(1 << 20))
            }
            _ => {
                let fault = "metadata.name: Required value: name or generateName is required";
                return Err(Refusal::invalid(&kind, "", &[fault.to_owned()]));
            }
        };
        target.key.name.clone_from(&name);
        metadata.insert("name".into(), name.as_str().into());
        self.check_namespace(&target)?;
        if self.store.get(target.place, &target.key).is_some() {
            return Err(Refusal::already_exists(&target.kind, &name));
        }
        let value = self.born(&target, object)?;
        let owners = Owners::default();
        let owner = owner(call, How::Update);
        self.enter(&target, owners, owner, value).map(|value| (201, value))
    }

    /// A new object as the server completes it.
    fn born(&mut self, target: &Target<'_>, mut object: Value) -> Result<Value, Refusal> {
        let kind = &target.kind;
        let (uid, now) = (self.random.uid(), self.now().to_string());
        fields(&mut object).insert("apiVersion".into(), kind.api_version().into());
        fields(&mut object).insert("kind".into(), kind.kind.as_str().into());
        let metadata = part(&mut object, "metadata");
        for not_theirs in ["resourceVersion", "managedFields", "deletionTimestamp", "selfLink"] {
            metadata.remove(not_theirs);
        }
        if kind.namespaced {
            metadata.insert("namespace".into(), target.key.namespace.as_str().into());
        }
        metadata.insert("uid".into(), uid.into());
        metadata.insert("creationTimestamp".into(), now.into());
        if kind.counted {
            metadata.insert("generation".into(), 1.into());
        }
        // A kubelet makes its Node with a status.
        if kind.status && kind.kind != "Node" {
            fields(&mut object).remove("status");
        }
        if kind.kind == "Pod" {
            fields(&mut object).insert("status".into(), json!({"phase": "Pending"}));
        }
        self.checked(target, object, None)
    }

    /// With defaults, and only if nothing is wrong with it.
    fn checked(
        &self,
        target: &Target<'_>,
        object: Value,
        before: Option<&Value>,
    ) -> Result<Value, Refusal> {
        let Target { kind, key, .. } = target;
        let object = match &kind.schema {
            Some(schema) => {
                let object = schema.defaulted(&object);
                let faults = schema.faults(&self.rules, &object, before);
                if !faults.is_empty() {
                    return Err(Refusal::invalid(kind, &key.name, &faults));
                }
                object
            }
            None => object,
        };
        if kind.kind == "ConfigMap" && object.to_string().len() > CONFIG_MAP_BYTES_MAX {
            let fault = format!(": Too long: may not be more than {CONFIG_MAP_BYTES_MAX} bytes");
            return Err(Refusal::invalid(kind, &key.name, &[fault]));
        }
        // Nothing that was sent in little can be much.
        if target.call.bytes > CONFIG_MAP_BYTES_MAX && object.to_string().len() > STORED_BYTES_MAX {
            return Err(Refusal::new(500, "", "etcdserver: request is too large"));
        }
        Ok(object)
    }

    fn check_namespace(&self, target: &Target<'_>) -> Result<(), Refusal> {
        let Target { kind, key, .. } = target;
        if !kind.namespaced {
            return Ok(());
        }
        let namespaces = self.kinds.find("", "namespaces").unwrap_or_default();
        let there = self.store.get(namespaces, &Key::new("", &key.namespace)).is_some();
        let of = self.kinds.at(namespaces);
        if there { Ok(()) } else { Err(Refusal::not_found(&of, &key.namespace)) }
    }

    fn update(&mut self, target: &Target<'_>) -> Result<(u16, Value), Refusal> {
        let Target { call, kind, key, .. } = target;
        formed(kind, &call.body)?;
        let before = self.found(target)?;
        let version = text(&call.body, "/metadata/resourceVersion").unwrap_or_default();
        if version.is_empty() && kind.custom() {
            let fault =
                "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
            return Err(Refusal::invalid(kind, &key.name, &[fault.to_owned()]));
        }
        self.replace(target, &before, call.body.clone()).map(|value| (200, value))
    }

    fn patch(&mut self, target: &Target<'_>, form: patch::Form) -> Result<(u16, Value), Refusal> {
        if form == patch::Form::Apply {
            return self.apply(target);
        }
        let before = self.found(target)?;
        let after = patched(&target.kind, form, &before.value, &target.call.body)?;
        self.replace(target, &before, after).map(|value| (200, value))
    }

    fn apply(&mut self, target: &Target<'_>) -> Result<(u16, Value), Refusal> {
        let Target { call, kind, key, .. } = target;
        if !call.query.contains_key("fieldManager") {
            return Err(Refusal::bad("fieldManager is required for apply patch"));
        }
        formed(kind, &call.body)?;
        let force = call.query.get("force").is_some_and(|force| force == "true");
        let owner = owner(call, How::Apply);
        let before = self.store.get(target.place, key).cloned();
        let mut owners = before.as_ref().map_or_else(Owners::default, |b| b.owners.clone());
        let live = before.as_ref().map_or_else(|| json!({}), |before| before.value.clone());
        let kind = Arc::clone(kind);
        let merged = owners.apply(&owner, &live, &call.body, (Form::of(&kind), force));
        let merged = merged.map_err(|conflicts| {
            let named = conflicts.iter().map(|c| {
                json!({"reason": "FieldManagerConflict", "field": c.field,
                    "message": format!("conflict with {:?}", c.manager)})
            });
            let message = format!("Apply failed with {} conflicts", conflicts.len());
            Refusal::new(409, "Conflict", message).because(named.collect())
        })?;
        if let Some(before) = before {
            let object = Object { value: before.value.clone(), owners };
            return self.replace_as(target, &object, merged, None).map(|value| (200, value));
        }
        self.check_namespace(target)?;
        let value = self.born(target, merged)?;
        self.commit(target, value, owners).map(|value| (201, value))
    }

    pub(crate) fn found(&self, target: &Target<'_>) -> Result<Arc<Object>, Refusal> {
        let found = self.store.get(target.place, &target.key).cloned();
        found.ok_or_else(|| Refusal::not_found(&target.kind, &target.key.name))
    }

    fn replace(
        &mut self,
        target: &Target<'_>,
        before: &Object,
        after: Value,
    ) -> Result<Value, Refusal> {
        self.replace_as(target, before, after, Some(owner(target.call, How::Update)))
    }

    /// Puts another state in an object's place, as far as the writer may: by the main resource all but the status, by `status` that alone.
    fn replace_as(
        &mut self,
        target: &Target<'_>,
        before: &Object,
        mut after: Value,
        owner: Option<Owner>,
    ) -> Result<Value, Refusal> {
        let Target { call, kind, key, .. } = target;
        let old = &before.value;
        let version =
            text(&after, "/metadata/resourceVersion").filter(|version| !version.is_empty());
        if version.is_some_and(|version| Some(version) != text(old, "/metadata/resourceVersion")) {
            let why = "the object has been modified; please apply your changes to the latest version and try again";
            return Err(Refusal::conflict(kind, &key.name, why));
        }
        let uid = text(&after, "/metadata/uid").filter(|uid| !uid.is_empty());
        if uid.is_some_and(|uid| Some(uid) != text(old, "/metadata/uid")) {
            let fault = "metadata.uid: Invalid value: field is immutable".to_owned();
            return Err(Refusal::invalid(kind, &key.name, &[fault]));
        }
        match call.subresource.as_str() {
            "" if kind.status => copy("status", old, &mut after),
            "" => {}
            "status" => {
                let mut only = old.clone();
                copy("status", &after, &mut only);
                after = only;
            }
            _ => {
                let message = "the server could not find the requested resource";
                return Err(Refusal::new(404, "NotFound", message));
            }
        }
        kept(old, &mut after);
        if text(old, "/metadata/deletionTimestamp").is_some() {
            let known: Vec<&Value> = list(old, "/metadata/finalizers").collect();
            if list(&after, "/metadata/finalizers").any(|finalizer| !known.contains(&finalizer)) {
                let fault = "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted".to_owned();
                return Err(Refusal::invalid(kind, &key.name, &[fault]));
            }
        }
        let mut after = self.checked(target, after, Some(old))?;
        if kind.counted && spec_differs(old, &after) {
            let generation = old.pointer("/metadata/generation").and_then(Value::as_i64);
            let next = generation.unwrap_or(0) + 1;
            part(&mut after, "metadata").insert("generation".into(), next.into());
        }
        let mut owners = before.owners.clone();
        if let Some(owner) = owner {
            owners.wrote(owner, old, &after, Form::of(kind));
        }
        let stored = self.found(target)?;
        if after == *old && owners == stored.owners {
            return Ok(after);
        }
        let leaves = text(&after, "/metadata/deletionTimestamp").is_some()
            && list(&after, "/metadata/finalizers").next().is_none()
            && after.pointer("/metadata/deletionGracePeriodSeconds").is_none();
        if leaves {
            return Ok(self.remove(target, after));
        }
        self.commit(target, after, owners)
    }

    /// Stores what somebody made.
    fn enter(
        &mut self,
        target: &Target<'_>,
        mut owners: Owners,
        owner: Owner,
        value: Value,
    ) -> Result<Value, Refusal> {
        owners.wrote(owner, &json!({}), &value, Form::of(&target.kind));
        self.commit(target, value, owners)
    }

    /// Stores a state of an object, and what follows from it at once.
    pub(crate) fn commit(
        &mut self,
        target: &Target<'_>,
        mut value: Value,
        owners: Owners,
    ) -> Result<Value, Refusal> {
        let version = self.store.next().to_string();
        part(&mut value, "metadata").insert("resourceVersion".into(), version.into());
        let object = Arc::new(Object { value: value.clone(), owners });
        self.keep(target, Some(Arc::clone(&object)), object);
        match target.kind.kind.as_str() {
            "CustomResourceDefinition" => {
                self.kinds.define(Kind::defined_by(&value).ok_or_else(|| {
                    Refusal::bad("a definition needs group, names, scope and a storage version")
                })?);
            }
            "Namespace" if target.call.verb == Verb::Create => self.people(&target.key.name)?,
            _ => {}
        }
        Ok(value)
    }

    /// Every namespace has its service account.
    fn people(&mut self, namespace: &str) -> Result<(), Refusal> {
        let user = "system:serviceaccount-controller";
        let accounts = ("", "serviceaccounts");
        let call = Call::of(user, Verb::Create, accounts, (namespace, ""))
            .with(json!({"metadata": {"name": "default"}}));
        match self.write(&call) {
            Ok(_) => Ok(()),
            Err(refusal) if refusal.reason == "AlreadyExists" => Ok(()),
            Err(refusal) => Err(refusal),
        }
    }

    fn delete(&mut self, target: &Target<'_>, options: &Value) -> Result<(u16, Value), Refusal> {
        let before = self.found(target)?;
        Self::check_preconditions(target, &before, options)?;
        Ok((200, self.end(target, &before, options)?))
    }

    pub(crate) fn check_preconditions(
        target: &Target<'_>,
        before: &Object,
        options: &Value,
    ) -> Result<(), Refusal> {
        for field in ["uid", "resourceVersion"] {
            let wanted = text(options, &format!("/preconditions/{field}"));
            let there = text(&before.value, &format!("/metadata/{field}")).unwrap_or_default();
            if let Some(wanted) = wanted.filter(|wanted| *wanted != there) {
                let why = format!(
                    "Precondition failed: {field} in precondition: {wanted}, in object meta: {there}"
                );
                return Err(Refusal::conflict(&target.kind, &target.key.name, &why));
            }
        }
        Ok(())
    }

    /// Deletes an object, or begins to: finalizers and a pod's grace time keep it.
    pub(crate) fn end(
        &mut self,
        target: &Target<'_>,
        before: &Object,
        options: &Value,
    ) -> Result<Value, Refusal> {
        let mut value = before.value.clone();
        let waits = match text(options, "/propagationPolicy") {
            Some("Foreground") => Some(FOREGROUND),
            Some("Orphan") => Some(ORPHAN),
            _ => None,
        };
        let going = text(&value, "/metadata/deletionTimestamp").is_some();
        if let Some(finalizer) = waits.filter(|_| !going) {
            let finalizers = part(&mut value, "metadata").entry("finalizers").or_insert(json!([]));
            if let Some(finalizers) = finalizers.as_array_mut() {
                finalizers.push(finalizer.into());
            }
        }
        let grace = grace(&target.kind, &value, options);
        if list(&value, "/metadata/finalizers").next().is_none() && grace == 0 {
            return Ok(self.remove(target, value));
        }
        if going {
            return Ok(value);
        }
        let now = self.now().to_string();
        let metadata = part(&mut value, "metadata");
        metadata.insert("deletionTimestamp".into(), now.into());
        if grace > 0 {
            metadata.insert("deletionGracePeriodSeconds".into(), grace.into());
        }
        self.commit(target, value, before.owners.clone())
    }

    fn delete_many(&mut self, target: &Target<'_>) -> Result<(u16, Value), Refusal> {
        let Target { call, place, kind, .. } = target;
        let selector = crate::selector::Selector::of(&call.namespace, &call.query)?;
        let doomed: Vec<(Key, Arc<Object>)> = self
            .store
            .list(*place)
            .filter(|(_, object)| selector.takes(&object.value))
            .map(|(key, object)| (key.clone(), Arc::clone(object)))
            .collect();
        for (key, before) in doomed {
            let one = Target { call, place: *place, kind: Arc::clone(kind), key };
            self.end(&one, &before, &call.body)?;
        }
        Ok((
            200,
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}),
        ))
    }

    /// The object is no more. The answer is its last state.
    fn remove(&mut self, target: &Target<'_>, mut value: Value) -> Value {
        let version = self.store.next().to_string();
        part(&mut value, "metadata").insert("resourceVersion".into(), version.into());
        let told = Arc::new(Object { value: value.clone(), owners: Owners::default() });
        self.keep(target, None, told);
        if target.kind.kind == "Namespace" {
            self.empty(&target.key.name);
        }
        value
    }

    /// What was in a namespace goes with it.
    fn empty(&mut self, namespace: &str) {
        let call = Call::of("system:namespace-controller", Verb::Delete, ("", ""), (namespace, ""));
        for place in self.kinds.places() {
            let there: Vec<(Key, Value)> = self
                .store
                .list(place)
                .filter(|(key, _)| key.namespace == namespace)
                .map(|(key, object)| (key.clone(), object.value.clone()))
                .collect();
            for (key, value) in there {
                let one = Target { call: &call, place, kind: self.kinds.at(place), key };
                self.remove(&one, value);
            }
        }
    }

    fn keep(&mut self, target: &Target<'_>, after: Option<Arc<Object>>, told: Arc<Object>) {
        let change = self.store.commit(target.place, &target.key, (after, told), now());
        let transition = Transition {
            call: target.call,
            kind: &target.kind,
            key: &target.key,
            before: change.before.as_ref().map(|object| &object.value),
            after: change.after.as_ref().map(|object| &object.value),
        };
        self.tell(&transition);
    }
}

/// Whether a body can be an object of a kind at all.
fn formed(kind: &Kind, body: &Value) -> Result<(), Refusal> {
    if !body.is_object() {
        return Err(Refusal::bad("the body is no object"));
    }
    let said = |field: &str| body.get(field).and_then(Value::as_str);
    let version = kind.api_version();
    let other = said("kind").is_some_and(|said| said != kind.kind)
        || said("apiVersion").is_some_and(|said| said != version);
    if other {
        let message = format!("the object provided is not a {version} {}", kind.kind);
        return Err(Refusal::bad(message));
    }
    Ok(())
}

fn owner(call: &Call, how: How) -> Owner {
    let (manager, subresource) = (call.manager().to_owned(), call.subresource.clone());
    Owner { manager, how, subresource }
}

/// What no writer changes.
fn kept(old: &Value, after: &mut Value) {
    for field in ["apiVersion", "kind"] {
        copy(field, old, after);
    }
    part(after, "metadata");
    let (from, Some(to)) = (&old["metadata"], after.get_mut("metadata")) else {
        return;
    };
    for field in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        copy(field, from, to);
    }
    fields(to).remove("managedFields");
}

/// Whether anything but metadata and status differs.
fn spec_differs(old: &Value, new: &Value) -> bool {
    let rest = |value: &Value| -> Vec<(String, Value)> {
        let fields = value.as_object().into_iter().flatten();
        let rest = fields.filter(|(name, _)| !matches!(name.as_str(), "metadata" | "status"));
        rest.map(|(name, value)| (name.clone(), value.clone())).collect()
    };
    rest(old) != rest(new)
}

/// Seconds for which a pod that is to go stays: where it is on a node and has not ended.
fn grace(kind: &Kind, value: &Value, options: &Value) -> i64 {
    let phase = text(value, "/status/phase").unwrap_or_default();
    let placed = text(value, "/spec/nodeName").is_some_and(|node| !node.is_empty());
    if kind.kind != "Pod" || !placed || matches!(phase, "Succeeded" | "Failed") {
        return 0;
    }
    let asked = options.get("gracePeriodSeconds").and_then(Value::as_i64);
    let own = value.pointer("/spec/terminationGracePeriodSeconds").and_then(Value::as_i64);
    asked.or(own).unwrap_or(30)
}
