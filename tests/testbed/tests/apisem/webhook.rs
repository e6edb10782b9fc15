//! Somebody's validating webhook: a server of its own, with a certificate, that denies what it is asked about.

use axum::{Json, Router, extract::Path, routing::post, serve::Listener};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hozen_testbed::certificates::Authority;
use serde_json::{Value, json};
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        version::TLS13,
    },
    server::TlsStream,
};

/// What it says to every refusal.
pub const WORDS: &str = "not while the night shift sleeps";

/// A webhook that runs until it is dropped.
pub struct Webhook {
    address: SocketAddr,
    authority: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Webhook {
    /// Begins to listen on loopback.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let authority = Authority::open(folder.path()).expect("an authority");
        let identity = authority.sign("webhook", None, &["127.0.0.1"]).expect("a certificate");
        let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .expect("a version")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("certificate and key belong together");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let listener = Tls { listener, acceptor: TlsAcceptor::from(Arc::new(config)) };
        let routes = Router::new().route("/deny/{code}", post(deny));
        let task = tokio::spawn(async {
            axum::serve(listener, routes).await.expect("it serves until it is dropped");
        });
        Self { address, authority: authority.certificate().to_owned(), task }
    }

    /// How the API server reaches it, to be denied with this code.
    pub fn client_config(&self, code: u16) -> Value {
        json!({"url": format!("https://{}/deny/{code}", self.address),
            "caBundle": BASE64_STANDARD.encode(&self.authority)})
    }
}

async fn deny(Path(code): Path<u16>, Json(review): Json<Value>) -> Json<Value> {
    Json(json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": {
        "uid": review["request"]["uid"], "allowed": false,
        "status": {"code": code, "message": WORDS}}}))
}

struct Tls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            // A caller that does not manage its handshake is none of ours.
            if let Ok((stream, from)) = self.listener.accept().await
                && let Ok(stream) = self.acceptor.accept(stream).await
            {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}
