//! The TLS face of the first origin: a certificate of its own that nobody trusts, for `127.0.0.1` and `localhost`.

use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

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
pub(crate) fn acceptor() -> Result<TlsAcceptor> {
    let certified = certified()?;
    let key = PrivateKeyDer::try_from(certified.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Takes TLS off, and hands the bytes to the plain listener on `port`.
pub(crate) async fn serve(listener: TcpListener, acceptor: TlsAcceptor, port: u16) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A client that does not trust the certificate ends here, as it should.
            let Ok(mut outside) = acceptor.accept(stream).await else { return };
            let Ok(mut inside) = TcpStream::connect(("127.0.0.1", port)).await else {
                return;
            };
            // Either side may close at any moment; there is nobody to tell.
            let _ = copy_bidirectional(&mut outside, &mut inside).await;
        });
    }
}
