//! Objects as they come in: of their kind's form, or with the field at which they are not.

use std::{borrow::Cow, marker::PhantomData};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::{Value, value::RawValue};

use super::kept::Malformed;

/// An object, or what is wrong with it, so that one that is broken stops no list and no watch. kube's own guard does not say where it is broken.
/// `P`: the part of it that is read.
#[derive(Clone, Debug)]
pub(super) struct Guarded<K, P = K>(pub Result<K, Malformed>, PhantomData<fn() -> P>);

impl<'de, K, P: DeserializeOwned + Into<K>> Deserialize<'de> for Guarded<K, P> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Nearly all objects are well: one is read from its text, and only what is broken becomes a tree, for the path.
        let text = Box::<RawValue>::deserialize(deserializer)?;
        if let Ok(part) = serde_json::from_str::<P>(text.get()) {
            return Ok(Self(Ok(part.into()), PhantomData));
        }
        let value: Value = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        let why = match serde_path_to_error::deserialize::<_, P>(&value) {
            Ok(part) => return Ok(Self(Ok(part.into()), PhantomData)),
            Err(error) => error.to_string(),
        };
        let metadata = ObjectMeta::deserialize(&value["metadata"]).map_err(D::Error::custom)?;
        Ok(Self(Err(Malformed { metadata, why }), PhantomData))
    }
}

impl<K: Resource, P> Resource for Guarded<K, P> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dt)
    }

    fn group(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dt)
    }

    fn version(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dt)
    }

    fn plural(dt: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dt)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|malformed| &malformed.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|malformed| &mut malformed.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use hozen_api::baseline::Baseline;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_malformed_is_told_with_its_place_and_keeps_its_name() {
        let object = json!({"apiVersion": "hozen.dev/v1alpha1", "kind": "Baseline", "metadata": {"name": "web", "uid": "u"},
            "spec": {"approvalPolicy": "production", "asset": {"businessImpact": "High", "exposure": "Internet", "owner": 7}}});
        let Guarded(read, _) =
            serde_json::from_str::<Guarded<Baseline>>(&object.to_string()).unwrap();
        let malformed = read.unwrap_err();
        assert_eq!(malformed.metadata.name.as_deref(), Some("web"));
        assert!(malformed.why.starts_with("spec.asset.owner: "), "{}", malformed.why);
    }
}
