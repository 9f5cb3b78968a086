//! Options for what requests carry and whom they trust.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use aqueduct::SafeUrl;
use aqueduct::fetch::{Credentials, Jar, Netrc, Options, ScopedHeader};
use url::Url;

use crate::aside::{self, Readers};
use crate::exit::{self, Exit};

/// The largest file of cookies or passwords, in bytes.
const FILE_BYTES: u64 = 16 << 20;

#[derive(Debug, clap::Args)]
pub(crate) struct RequestArgs {
    /// A header for the origin of the input; repeatable
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", help_heading = "Requests")]
    headers: Vec<String>,

    /// A header for an origin that you name, besides that of the input; repeatable
    #[arg(long, num_args = 2, value_names = ["ORIGIN", "NAME: VALUE"], help_heading = "Requests")]
    header_for: Vec<String>,

    /// Cookies to begin with: a cookies.txt, as browsers' exporters and curl write it
    #[arg(long, value_name = "FILE", help_heading = "Requests")]
    cookies: Option<PathBuf>,

    /// Where to write all cookies in the end, as a cookies.txt
    #[arg(long, value_name = "FILE", help_heading = "Requests")]
    cookie_jar: Option<PathBuf>,

    /// Take user name and password for the input's host from ~/.netrc
    #[arg(long, help_heading = "Requests")]
    netrc: bool,

    /// Take user name and password for the input's host from this file
    #[arg(long, value_name = "FILE", help_heading = "Requests")]
    netrc_file: Option<PathBuf>,

    /// A host, by name or address, whose TLS certificate need not be trusted; repeatable
    #[arg(long, value_name = "HOST", help_heading = "Requests")]
    insecure: Vec<String>,

    /// Follow redirects from https to http
    #[arg(long, help_heading = "Requests")]
    allow_downgrade: bool,
}

impl RequestArgs {
    /// Where the cookies are written.
    pub(crate) fn cookie_jar(&self) -> Option<&Path> {
        self.cookie_jar.as_deref()
    }

    /// The jar that all inputs share, with the cookies that the user brings along.
    pub(crate) fn jar(&self) -> anyhow::Result<Arc<Jar>> {
        if let Some(path) = &self.cookie_jar {
            aside::check(path).context("--cookie-jar")?;
        }
        let jar = Jar::new();
        if let Some(path) = &self.cookies {
            let text = read(path)?;
            let wrong = jar.read_netscape(&text).with_context(|| path.display().to_string())?;
            for line in wrong {
                tracing::warn!(file = %path.display(), "cookie left out: {line}");
            }
        }
        Ok(Arc::new(jar))
    }

    /// Keeps the cookies, and tells where that fails.
    pub(crate) fn end(&self, jar: &Jar) -> Exit {
        match self.keep(jar) {
            Ok(()) => Exit::Whole,
            Err(error) => {
                exit::complain(&error, Exit::Failed);
                Exit::Failed
            }
        }
    }

    /// Writes the cookies where the user wants them.
    fn keep(&self, jar: &Jar) -> anyhow::Result<()> {
        let Some(path) = &self.cookie_jar else { return Ok(()) };
        aside::write(path, Readers::User, |out| out.write_all(jar.to_netscape().as_bytes()))
            .with_context(|| format!("{}: the cookies cannot be written", path.display()))
    }

    /// Puts headers and credentials into the options of the fetcher, each for its origin. `origin` is the input's.
    pub(crate) fn apply(&self, origin: Option<&SafeUrl>, options: &mut Options) -> anyhow::Result<()> {
        options.insecure.clone_from(&self.insecure);
        options.allow_downgrade = self.allow_downgrade;
        let netrc = self.netrc()?;
        match origin {
            Some(origin) => {
                for header in &self.headers {
                    options.headers.push(scoped(origin.clone(), header)?);
                }
                let in_url = Credentials::of(origin);
                let in_file = netrc.as_ref().and_then(|netrc| netrc.credentials(origin));
                // A password in the URL is the nearer word; without one, the file is asked for that user.
                let whole = in_url.as_ref().is_some_and(|found| !found.password.is_empty());
                options.credentials.extend(if whole { in_url } else { in_file.or(in_url) });
            }
            None if self.headers.is_empty() && netrc.is_none() => {}
            None => bail!("--header and --netrc need an origin: an INPUT with an address, or --base-url"),
        }
        for pair in self.header_for.chunks(2) {
            let [origin, header] = pair else {
                bail!("--header-for needs an origin and a header")
            };
            let url = Url::parse(origin).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let url = url.with_context(|| "--header-for: the origin is no http or https address, such as https://cdn.example")?;
            options.headers.push(scoped(SafeUrl::from(url), header)?);
        }
        Ok(())
    }

    fn netrc(&self) -> anyhow::Result<Option<Netrc>> {
        let path = match &self.netrc_file {
            Some(path) => path.clone(),
            None if self.netrc => std::env::home_dir()
                .context("--netrc: there is no home folder: --netrc-file names the file")?
                .join(".netrc"),
            None => return Ok(None),
        };
        let (netrc, wrong) = Netrc::parse(&read(&path)?).with_context(|| path.display().to_string())?;
        for line in wrong {
            tracing::warn!(file = %path.display(), "{line}");
        }
        Ok(Some(netrc))
    }
}

/// Reads a header. What is wrong with one is told without its value.
fn scoped(origin: SafeUrl, header: &str) -> anyhow::Result<ScopedHeader> {
    let (name, value) = header
        .split_once(':')
        .context("a header without a colon: it needs a name, a colon and a value")?;
    let token = |byte: u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
    if name.trim().is_empty() || !name.trim().bytes().all(token) {
        // It may be the value of a header whose name was forgotten.
        bail!("a header with a name that is none (RFC 9110, 5.1)");
    }
    let header = ScopedHeader {
        origin,
        name: name.trim().into(),
        value: value.trim().into(),
    };
    // Commands that are copied out of a browser have them.
    if header.is_left_out() {
        tracing::warn!("the header {} is left out: each transfer has its own", header.name);
    }
    Ok(header)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).with_context(|| format!("{}: cannot be opened", path.display()))?;
    file.take(FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .with_context(|| format!("{}: cannot be read", path.display()))?;
    if bytes.len() as u64 > FILE_BYTES {
        bail!("{}: larger than {FILE_BYTES} bytes", path.display());
    }
    Ok(bytes)
}
