//! TLS: verified as the platform does it, but for hosts that the user excepts by name.

use std::sync::Arc;

use aqueduct_core::FetchError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;
use url::Host;

/// The configuration of every client. `insecure` are the hosts whose certificates need not be trusted.
pub(crate) fn config(insecure: &[String]) -> Result<ClientConfig, FetchError> {
    let other = |error: Error| FetchError::Other(error.into());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = ByHost {
        trusted: Arc::new(Verifier::new(Arc::clone(&provider)).map_err(other)?),
        excepted: insecure.iter().map(|host| excepted(host)).collect::<Result<_, _>>()?,
    };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec!["h2".into(), "http/1.1".into()];
    Ok(config)
}

/// A host as TLS names it.
fn excepted(host: &str) -> Result<String, FetchError> {
    let known = match Host::parse(host) {
        Ok(Host::Domain(name)) if !name.contains('*') => name.trim_end_matches('.').to_owned(),
        Ok(Host::Ipv4(address)) => address.to_string(),
        Ok(Host::Ipv6(address)) => address.to_string(),
        Ok(Host::Domain(_)) | Err(_) => {
            let what = format!("{host:?} is no host: give its name or address alone, such as nas.example");
            return Err(FetchError::Other(what.into()));
        }
    };
    tracing::warn!(
        host = known,
        "certificates of this host need not be trusted: anybody on the way can be it"
    );
    Ok(known)
}

/// Verifies as the platform does, and lets the hosts pass that the user excepts. Possession of the certificate's key is
/// proved by all.
#[derive(Debug)]
struct ByHost {
    trusted: Arc<dyn ServerCertVerifier>,
    excepted: Vec<String>,
}

impl ServerCertVerifier for ByHost {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .trusted
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(error) if self.excepted.iter().any(|host| *host == server_name.to_str()) => {
                tracing::warn!(host = %server_name.to_str(), %error, "a certificate is not trusted, and taken all the same");
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trusted.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.trusted.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.trusted.supported_verify_schemes()
    }
}

/// What is wrong with the server's certificate, where an error is about that.
pub(crate) fn distrust<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a CertificateError> {
    // An I/O error passes over what it holds when it is asked for its source.
    if let Some(io) = error.downcast_ref::<std::io::Error>() {
        return distrust(io.get_ref()?);
    }
    match error.downcast_ref()? {
        Error::InvalidCertificate(wrong) => Some(wrong),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_is_one_host() {
        for (host, known) in [
            ("NAS.example", Some("nas.example")),
            ("nas.example.", Some("nas.example")),
            ("192.168.0.1", Some("192.168.0.1")),
            ("[FE80::1]", Some("fe80::1")),
            ("*", None),
            ("*.example", None),
            ("nas.example:443", None),
            ("https://nas.example", None),
            ("", None),
        ] {
            assert_eq!(excepted(host).ok().as_deref(), known, "{host}");
        }
    }
}
