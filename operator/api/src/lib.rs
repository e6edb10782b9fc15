//! The custom resources of hozen.dev/v1alpha1: types, CEL rules, printer columns, names. No behaviour.
