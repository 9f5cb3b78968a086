//! The TLS face of the first origin: a certificate of its own that nobody trusts, for `127.0.0.1` and `localhost`. It speaks
//! HTTP/2 with those who can, and hands each request to the plain listener.

use std::cell::OnceCell;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::http::uri::PathAndQuery;
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::stats::Stats;

/// One certificate for all servers of the process, made when it is first asked for.
fn certified() -> Result<&'static CertifiedKey<KeyPair>> {
    static CERTIFIED: OnceLock<CertifiedKey<KeyPair>> = OnceLock::new();
    if let Some(certified) = CERTIFIED.get() {
        return Ok(certified);
    }
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let made = generate_simple_self_signed(names).context("making a certificate")?;
    Ok(CERTIFIED.get_or_init(|| made))
}

/// The certificate, as PEM.
pub(crate) fn certificate_pem() -> Result<String> {
    Ok(certified()?.cert.pem())
}

/// What accepts TLS connections.
fn acceptor() -> Result<TlsAcceptor> {
    let certified = certified()?;
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)?;
    config.alpn_protocols = vec!["h2".into(), "http/1.1".into()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Takes TLS off, and hands what comes to the plain listener on `port`. The certificate is made for the first who comes: most
/// servers never need it, and its key takes as long as a small test.
pub(crate) async fn serve(listener: TcpListener, port: u16, stats: Stats) {
    let made: OnceCell<TlsAcceptor> = OnceCell::new();
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = made.get_or_init(|| acceptor().expect("a certificate can be made")).clone();
        let stats = stats.clone();
        tokio::spawn(async move {
            // A client that does not trust the certificate ends here, as it should.
            let Ok(mut outside) = acceptor.accept(stream).await else { return };
            if outside.get_ref().1.alpn_protocol() == Some(b"h2") {
                stats.connected_over_http2();
                return serve_http2(outside, port).await;
            }
            let Ok(mut inside) = TcpStream::connect(("127.0.0.1", port)).await else {
                return;
            };
            // Either side may close at any moment; there is nobody to tell.
            let _ = copy_bidirectional(&mut outside, &mut inside).await;
        });
    }
}

async fn serve_http2(outside: TlsStream<TcpStream>, port: u16) {
    let service = service_fn(move |request| hand_on(request, port));
    let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    // The client may go at any moment; there is nobody to tell.
    let _ = http2.serve_connection(TokioIo::new(outside), service).await;
}

/// Asks the plain listener, over a connection of its own. What breaks there resets the stream here.
async fn hand_on(mut request: Request<Incoming>, port: u16) -> Result<Response<Incoming>> {
    let uri = request.uri().clone();
    *request.uri_mut() = Uri::from(uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/")));
    if let Some(authority) = uri.authority() {
        request.headers_mut().insert(HOST, authority.as_str().parse()?);
    }
    let inside = TcpStream::connect(("127.0.0.1", port)).await?;
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(inside)).await?;
    // Its failure is also that of the answer.
    tokio::spawn(connection);
    Ok(client.send_request(request).await?)
}
