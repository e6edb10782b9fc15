//! The bed's certificate authority, and the kubeconfigs of all who speak to its API server.

use std::{fs, os::unix::fs::OpenOptionsExt, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde_json::json;

use crate::error::Error;

/// The authority that signs everything in one bed. It is made once and lives in the bed's folder.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// A certificate and its key, both PEM.
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// Makes the authority, or takes up the one that `folder` holds.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let (key_file, certificate_file) = (folder.join("ca.key"), folder.join("ca.crt"));
        let failed = |source| Error::Certificate { of: "the authority".into(), source };
        if let (Ok(key), Ok(certificate)) =
            (fs::read_to_string(&key_file), fs::read_to_string(&certificate_file))
        {
            let key = KeyPair::from_pem(&key).map_err(failed)?;
            return Ok(Self { issuer: Issuer::new(authority(), key), certificate });
        }
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = authority().self_signed(&key).map_err(failed)?.pem();
        write_private(&key_file, &key.serialize_pem())?;
        write_private(&certificate_file, &certificate)?;
        Ok(Self { issuer: Issuer::new(authority(), key), certificate })
    }

    /// A certificate for servers and clients alike. `names` are the host names and addresses it may serve as.
    pub fn sign(&self, user: &str, group: Option<&str>, names: &[&str]) -> Result<Identity, Error> {
        let failed = |source| Error::Certificate { of: user.to_owned(), source };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut request = CertificateParams::new(names).map_err(failed)?;
        request.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            request.distinguished_name.push(DnType::OrganizationName, group);
        }
        request.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        request.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().map_err(failed)?;
        let certificate = request.signed_by(&key, &self.issuer).map_err(failed)?.pem();
        Ok(Identity { certificate, key: key.serialize_pem() })
    }

    /// The authority's own certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// A kubeconfig that needs no other file. It is JSON, which every reader of YAML reads.
    pub fn kubeconfig(&self, server: &str, identity: &Identity) -> String {
        let encode = |text: &str| BASE64_STANDARD.encode(text);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "testbed", "cluster": {
                "server": server, "certificate-authority-data": encode(&self.certificate)}}],
            "users": [{"name": "user", "user": {
                "client-certificate-data": encode(&identity.certificate),
                "client-key-data": encode(&identity.key)}}],
            "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "user"}}],
            "current-context": "testbed",
        });
        format!("{config:#}\n")
    }
}

fn authority() -> CertificateParams {
    let mut request = CertificateParams::default();
    request.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    request.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    request.distinguished_name.push(DnType::CommonName, "hozen-testbed");
    request
}

/// The key pair that signs service-account tokens: private key and public key, PEM.
pub fn token_keys() -> Result<(String, String), Error> {
    let key = KeyPair::generate()
        .map_err(|source| Error::Certificate { of: "service accounts".into(), source })?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

/// Writes a file that only its owner may read.
pub fn write_private(file: &Path, text: &str) -> Result<(), Error> {
    let doing = format!("write {}", file.display());
    let mut open = fs::OpenOptions::new();
    open.write(true).create(true).truncate(true).mode(0o600);
    let mut out = open.open(file).map_err(Error::io(doing.clone()))?;
    std::io::Write::write_all(&mut out, text.as_bytes()).map_err(Error::io(doing))
}
