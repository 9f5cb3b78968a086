//! The server: its configuration, its two listeners, and the way from a path to an answer.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use tokio::runtime::Runtime;

use crate::answer::{Answer, Cut, Plan};
use crate::fault::{Fault, Rule, Rules};
use crate::http::{Request, media_type};
use crate::package::{Track, tracks};
use crate::playlist::{self, Window};
use crate::site::{Names, Site};
use crate::stats::Stats;
use crate::stream::{Advance, Stream};
use crate::{Clip, connection, gzip, tls};

/// What a server serves, and what goes wrong.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Streams by name, under `/s/NAME/`.
    pub streams: BTreeMap<String, Stream>,
    /// Sites by name, under `/p/NAME/`.
    pub sites: BTreeMap<String, Site>,
    /// Other resources by path. They win over everything else.
    pub files: BTreeMap<String, Bytes>,
    /// What goes wrong.
    pub rules: Vec<Rule>,
    /// The port of the first origin; 0 for any free one.
    pub port: u16,
}

impl Config {
    /// The committed streams and sites, and nothing that goes wrong.
    pub fn standard() -> Result<Self> {
        Ok(Self {
            streams: Stream::standard()?,
            sites: Site::standard()?,
            ..Self::default()
        })
    }
}

/// A running server; dropping it closes every connection.
#[derive(Debug)]
pub struct Server {
    origin: Arc<Origin>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts on the loopback address, on threads of its own.
    pub fn start(config: Config) -> Result<Self> {
        let bind = |port| -> Result<TcpListener> {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).context("binding the fixture server")?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listeners = [bind(config.port)?, bind(0)?];
        let over_tls = bind(0)?;
        let address = |listener: &TcpListener| anyhow::Ok(format!("http://{}", listener.local_addr()?));
        let origins = [address(&listeners[0])?, address(&listeners[1])?];
        let (port, tls_port) = (listeners[0].local_addr()?.port(), over_tls.local_addr()?.port());
        let origin = Arc::new(Origin::new(config, origins, tls_port)?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("fixture-server")
            .enable_all()
            .build()?;
        {
            let _entered = runtime.enter();
            runtime.spawn(tls::serve(tokio::net::TcpListener::from_std(over_tls)?, port, origin.stats.clone()));
        }
        for (listener, other_origin) in listeners.into_iter().zip([false, true]) {
            let origin = Arc::clone(&origin);
            let _entered = runtime.enter();
            let listener = tokio::net::TcpListener::from_std(listener)?;
            runtime.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    origin.stats.connected();
                    tokio::spawn(connection::serve(stream, Arc::clone(&origin), other_origin));
                }
            });
        }
        Ok(Self {
            origin,
            runtime: Some(runtime),
        })
    }

    /// Scheme, host and port, such as `http://127.0.0.1:4711`.
    pub fn origin(&self) -> &str {
        &self.origin.origins[0]
    }

    /// A second origin that serves the same, on another port.
    pub fn other_origin(&self) -> &str {
        &self.origin.origins[1]
    }

    /// The first origin over TLS, with a certificate that nobody trusts.
    pub fn tls_origin(&self) -> String {
        format!("https://127.0.0.1:{}", self.origin.tls_port)
    }

    /// The certificate of [`Self::tls_origin`], as PEM, for those who want to trust it.
    pub fn certificate_pem(&self) -> Result<String> {
        tls::certificate_pem()
    }

    /// A path on the first origin as a URL.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    /// What was asked so far.
    pub fn stats(&self) -> &Stats {
        &self.origin.stats
    }

    /// From now on this goes wrong as well.
    pub fn add_rule(&self, rule: Rule) {
        lock(&self.origin.rules).push(rule);
    }

    /// From now on these go wrong, and nothing else.
    pub fn set_rules(&self, rules: Vec<Rule>) {
        *lock(&self.origin.rules) = Rules::new(rules);
    }

    /// The text with `{{origin}}` and `{{other}}` replaced by this server's origins, `{{address}}` by host and
    /// port of the first, `{{tls}}` by the first one over TLS,
    /// `{{tls-name}}` by the same under the name `localhost`.
    pub fn render(&self, text: &str) -> String {
        self.origin.names().render(text)
    }

    /// The tracks of a stream, for their clear bytes.
    pub fn tracks(&self, stream: &str) -> Result<&[Track]> {
        Ok(&self
            .origin
            .streams
            .get(stream)
            .with_context(|| format!("no stream {stream:?}"))?
            .tracks)
    }

    /// The sites that are served.
    pub fn sites(&self) -> &BTreeMap<String, Site> {
        &self.origin.sites
    }

    /// Paths that a person may open: the entries of sites and streams, the plain file.
    pub fn entries(&self) -> Vec<String> {
        self.origin.entries()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A test may drop the server inside a runtime of its own, where waiting is forbidden.
            runtime.shutdown_background();
        }
    }
}

/// All that connections share.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) stats: Stats,
    origins: [String; 2],
    tls_port: u16,
    streams: BTreeMap<String, Packaged>,
    sites: BTreeMap<String, Site>,
    files: BTreeMap<String, Bytes>,
    rules: Mutex<Rules>,
    live: Mutex<HashMap<String, (usize, Instant)>>,
}

#[derive(Debug)]
struct Packaged {
    stream: Stream,
    tracks: Vec<Track>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Origin {
    fn new(config: Config, origins: [String; 2], tls_port: u16) -> Result<Self> {
        let package = |(name, stream): (String, Stream)| {
            let tracks = tracks(&stream).with_context(|| format!("packaging the stream {name:?}"))?;
            Ok((name, Packaged { stream, tracks }))
        };
        Ok(Self {
            stats: Stats::new(),
            origins,
            tls_port,
            streams: config.streams.into_iter().map(package).collect::<Result<_>>()?,
            sites: config.sites,
            files: config.files,
            rules: Mutex::new(Rules::new(config.rules)),
            live: Mutex::default(),
        })
    }

    fn names(&self) -> Names {
        Names(vec![
            ("origin", self.origins[0].clone()),
            ("address", self.origins[0].trim_start_matches("http://").to_owned()),
            ("other", self.origins[1].clone()),
            ("tls", format!("https://127.0.0.1:{}", self.tls_port)),
            ("tls-name", format!("https://localhost:{}", self.tls_port)),
        ])
    }

    fn entries(&self) -> Vec<String> {
        let sites = self.sites.iter().map(|(name, site)| format!("/p/{name}/{}", site.entry));
        let streams = self.streams.keys().map(|name| format!("/s/{name}/index.m3u8"));
        let plain = ["/media/film.mp4".to_owned(), "/media/pictures/1.jpg".to_owned()];
        sites.chain(streams).chain(plain).collect()
    }

    /// The answer to a request, with the faults that hit it.
    pub(crate) fn plan(&self, request: &Request) -> Plan {
        let faults = lock(&self.rules).faults(&request.path);
        let mut answer = None;
        for fault in &faults {
            answer = answer.or_else(|| self.instead(fault, request));
        }
        let mut answer = answer.unwrap_or_else(|| match request.method.as_str() {
            "GET" | "HEAD" => self.route(request),
            _ => Answer::text(405, "only GET and HEAD\n"),
        });
        let whole = faults
            .iter()
            .any(|fault| matches!(fault, Fault::IgnoreRange | Fault::UndeclaredGzip));
        if faults.contains(&Fault::UndeclaredGzip) {
            let length = usize::try_from(answer.body.len()).unwrap_or(usize::MAX);
            answer.body = Bytes::from(gzip::wrap(&answer.body.piece(0, length))).into();
        }
        for fault in &faults {
            if let Fault::Shorten { at } = fault
                && *at < answer.body.len()
            {
                answer.body = answer.body.part(0..*at);
            }
        }
        // Whether a range holds depends on the validator that is told.
        for fault in &faults {
            if let Fault::Headers(fields) = fault
                && let Some((name, value)) = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("etag"))
            {
                answer.set_header(name, value);
            }
        }
        let failed = faults.iter().find_map(|fault| match fault {
            Fault::FailRange { status, over } if answer.is_part_over(request.header("range"), *over) => Some(*status),
            _ => None,
        });
        if let Some(status) = failed.flatten() {
            answer = Answer::text(status, "no such range on demand\n");
        } else if !whole {
            answer = answer.ranged(request.header("range"), request.header("if-range"));
        }
        let mut plan = Plan::new(answer);
        plan.hang_up = failed == Some(None);
        for fault in faults {
            spoil(&mut plan, fault);
        }
        plan
    }

    /// The answer that a fault puts in place of the resource's.
    fn instead(&self, fault: &Fault, request: &Request) -> Option<Answer> {
        match fault {
            Fault::Status { status, retry_after } => {
                let mut answer = Answer::text(*status, format!("status {status} on demand\n"));
                if let Some(value) = retry_after {
                    answer.set_header("Retry-After", value);
                }
                Some(answer)
            }
            Fault::Body { content_type, text } => Some(Answer::ok(content_type, text.clone())),
            Fault::Redirect { status, to } => {
                let mut answer = Answer::text(*status, "elsewhere\n");
                let mut names = self.names();
                names.0.push(("path", request.path.clone()));
                answer.set_header("Location", &names.render(to));
                Some(answer)
            }
            _ => None,
        }
    }

    fn route(&self, request: &Request) -> Answer {
        let missing = || Answer::text(404, "no such resource\n");
        let path = request.path.as_str();
        if let Some(bytes) = self.files.get(path) {
            let media_type = media_type(path);
            // Playlists and pages are templates, as those of sites are.
            let bytes = match media_type {
                "application/vnd.apple.mpegurl" | "text/html; charset=utf-8" => document_bytes(bytes, &self.names()),
                _ => bytes.clone(),
            };
            return tagged(path, Answer::ok(media_type, bytes));
        }
        if path == "/" {
            return Answer::text(200, self.entries().join("\n") + "\n");
        }
        let mut parts = path.splitn(4, '/').skip(1);
        match (parts.next(), parts.next(), parts.next()) {
            (Some("s"), Some(name), Some(rest)) => self.stream(name, rest, path),
            (Some("p"), Some(name), Some(rest)) => self.site(name, rest, request),
            (Some("media"), ..) => {
                let file = Clip::get().ok().and_then(|clip| clip.file(&path["/media/".len()..]));
                file.map(|bytes| tagged(path, Answer::ok(media_type(path), bytes)))
            }
            .unwrap_or_else(missing),
            _ => missing(),
        }
    }

    /// A resource of a stream; `path` is the whole path, which may be a site's.
    fn stream(&self, name: &str, rest: &str, path: &str) -> Answer {
        let missing = || Answer::text(404, "no such resource\n");
        let Some(packaged) = self.streams.get(name) else { return missing() };
        if packaged.stream.is_multivariant() && rest == "index.m3u8" {
            return Answer::ok(media_type(rest), playlist::multivariant(&packaged.stream));
        }
        let track = packaged
            .tracks
            .iter()
            .find_map(|track| Some((track, rest.strip_prefix(&track.folder)?)));
        let Some((track, file)) = track else { return missing() };
        if file == "index.m3u8" {
            let window = Window::after(track, self.moves(&packaged.stream, path));
            return Answer::ok(media_type(file), playlist::media(track, &window));
        }
        match track.resource(file) {
            Ok(body) => tagged(path, Answer::ok(media_type(file), body)),
            Err(_) => missing(),
        }
    }

    /// How often a live window has moved.
    fn moves(&self, stream: &Stream, path: &str) -> usize {
        let Some(live) = stream.live else { return 0 };
        let mut readings = lock(&self.live);
        let (count, since) = readings.entry(path.to_owned()).or_insert((0, Instant::now()));
        let moves = match live.advance {
            Advance::Reload => *count,
            Advance::Milliseconds(every) => usize::try_from(since.elapsed().as_millis() / u128::from(every.max(1))).unwrap_or(usize::MAX),
        };
        *count += 1;
        moves
    }

    fn site(&self, name: &str, rest: &str, request: &Request) -> Answer {
        let Some(site) = self.sites.get(name) else {
            return Answer::text(404, "no such site\n");
        };
        let mut names = self.names();
        names.0.push(("site", format!("{}/p/{name}", self.origins[0])));
        names.0.push(("other-site", format!("{}/p/{name}", self.origins[1])));
        names.0.push(("query", request.query.clone().unwrap_or_default()));
        if let Some(why) = site.refusal(rest, |field| request.header(field).map(str::to_owned), &names) {
            return Answer::text(403, format!("refused: {why}\n"));
        }
        let mounted = site.streams.iter().find_map(|(folder, stream)| {
            let inside = rest.strip_prefix(folder.as_str())?.strip_prefix('/')?;
            Some(self.stream(stream, inside, &request.path))
        });
        let mut answer = mounted.unwrap_or_else(|| match site.documents.get(rest) {
            Some(document) => Answer::ok(media_type(rest), document_bytes(document, &names)),
            None => Answer::text(404, "no such document\n"),
        });
        for (field, value) in site.headers.get(rest).into_iter().flatten() {
            answer.set_header(field, &names.render(value));
        }
        answer
    }
}

/// Documents in other encodings than UTF-8 are no templates.
fn document_bytes(document: &[u8], names: &Names) -> Bytes {
    match std::str::from_utf8(document) {
        Ok(text) => Bytes::from(names.render(text)),
        Err(_) => Bytes::copy_from_slice(document),
    }
}

/// Resources that do not change carry a validator.
fn tagged(path: &str, mut answer: Answer) -> Answer {
    let tag = format!("\"{}-{}\"", path.replace('/', "-").trim_start_matches('-'), answer.body.len());
    answer.set_header("ETag", &tag);
    answer
}

fn spoil(plan: &mut Plan, fault: Fault) {
    match fault {
        Fault::WrongContentRange { by } => plan.answer.misplace_range(by),
        Fault::CapRange { bytes } => plan.answer.cap_range(bytes),
        Fault::Headers(fields) => {
            for (name, value) in fields {
                plan.answer.set_header(&name, &value);
            }
        }
        Fault::Delay { milliseconds } => plan.delay += Duration::from_millis(milliseconds),
        Fault::Trickle { bytes_per_second } => plan.bytes_per_second = Some(bytes_per_second),
        Fault::Truncate { at } => plan.cut = Some((at, Cut::Close)),
        Fault::Stall { at } => plan.cut = Some((at, Cut::Stall)),
        Fault::Reset { at } => plan.cut = Some((at, Cut::Reset)),
        Fault::HangUp => plan.hang_up = true,
        Fault::Status { .. } | Fault::Body { .. } | Fault::Redirect { .. } => {}
        Fault::IgnoreRange | Fault::FailRange { .. } | Fault::Shorten { .. } | Fault::UndeclaredGzip => {}
    }
}
