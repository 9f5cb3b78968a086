//! `--json`: what happens, one JSON object a line (`events.schema.json`), for programs.
//!
//! A thread of its own writes them, so that a reader who is slow never holds up the data: of progress, segments, retries and
//! warnings, those are dropped that find too many waiting, and the next `progress` tells how many. Errors and the report
//! are never dropped.

use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aqueduct::{Event, GapCause, Presentation, Progress, Receiver, channel};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How often progress is told, if it changed.
const PACE: Duration = Duration::from_secs(1);
/// Lines that wait for a slow reader.
const WAITING: usize = 1024;
/// News of the pipeline that wait to become lines.
const NEWS: usize = 256;

/// Where the lines go, while there are any.
static LINES: OnceLock<Lines> = OnceLock::new();

struct Lines {
    queue: SyncSender<Line>,
    out: Arc<Mutex<Box<dyn Write + Send>>>,
    dropped: AtomicU64,
}

enum Line {
    Text(String),
    /// All lines before it are written.
    Flush(SyncSender<()>),
}

/// Turns events on: to standard output, or to standard error where that is the output's.
pub(crate) fn start(to_stderr: bool) -> io::Result<()> {
    let out: Box<dyn Write + Send> = if to_stderr {
        Box::new(io::stderr())
    } else {
        Box::new(io::stdout())
    };
    let out = Arc::new(Mutex::new(out));
    let (queue, lines) = sync_channel(WAITING);
    let writing = Arc::clone(&out);
    std::thread::Builder::new().name("events".into()).spawn(move || {
        for line in lines {
            match line {
                Line::Text(text) => {
                    let mut out = writing.lock().unwrap_or_else(PoisonError::into_inner);
                    // Without a reader there is nobody to tell.
                    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                }
                Line::Flush(done) => {
                    let _ = done.send(());
                }
            }
        }
    })?;
    let dropped = AtomicU64::new(0);
    // It is started once.
    let _ = LINES.set(Lines { queue, out, dropped });
    Ok(())
}

/// Whether events are told, and nothing else.
pub(crate) fn are_on() -> bool {
    LINES.get().is_some()
}

/// Tells an event, unless too many wait.
fn news(event: &Value) {
    if let Some(lines) = LINES.get()
        && lines.queue.try_send(Line::Text(format!("{event}\n"))).is_err()
    {
        lines.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// Tells an event, however long that takes.
pub(crate) fn tell(event: &Value) {
    if let Some(lines) = LINES.get() {
        // The thread ends with the process.
        let _ = lines.queue.send(Line::Text(format!("{event}\n")));
    }
}

/// Waits until all lines are written.
pub(crate) fn flush() {
    if let Some(lines) = LINES.get() {
        let (done, written) = sync_channel(1);
        if lines.queue.send(Line::Flush(done)).is_ok() {
            let _ = written.recv();
        }
    }
}

/// Tells the final report, which `write` writes as a document. It takes no memory, however long the stream was.
pub(crate) fn report(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let Some(lines) = LINES.get() else { return Ok(()) };
    flush();
    let mut out = lines.out.lock().unwrap_or_else(PoisonError::into_inner);
    let mut line = OneLine(BufWriter::new(&mut **out));
    line.write_all(br#"{"event":"report","report":"#)?;
    write(&mut line)?;
    line.0.write_all(b"}\n")?;
    line.0.flush()
}

/// Leaves out line breaks. A JSON document has them between its values alone.
struct OneLine<W>(W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split(|byte| *byte == b'\n') {
            self.0.write_all(piece)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Tells which stream is fetched.
pub(crate) fn begin(presentation: &Presentation, files: &[std::path::PathBuf]) {
    if !are_on() {
        return;
    }
    let tracks = presentation.tracks.iter().map(|track| {
        json!({
            "number": track.id.number(),
            "kind": track.kind.to_string(),
            "name": track.name,
            "language": track.language,
            "address": track.url.as_ref().map(ToString::to_string),
            "live": track.live,
            "segments": track.segments,
            "bytes": track.bytes,
            "seconds": track.duration.map(|duration| duration.as_secs_f64()),
        })
    });
    let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    tell(&json!({"event": "begin", "files": files, "tracks": tracks.collect::<Vec<_>>()}));
}

/// Tells an error, and what a person can do about it.
pub(crate) fn error(message: &str, hint: Option<&str>, exit_code: u8) {
    tell(&json!({"event": "error", "message": message, "hint": hint, "exit_code": exit_code}));
}

/// Tells what is no error.
pub(crate) fn note(message: &str) {
    tell(&json!({"event": "note", "message": message}));
}

/// Counters and news of a pipeline, told as events until it is dropped.
pub(crate) struct Ticker {
    progress: Progress,
    events: Receiver<Event>,
    tasks: Vec<JoinHandle<()>>,
}

/// Counters for a pipeline, and what to follow them by.
pub(crate) fn progress() -> (Progress, Option<Receiver<Event>>) {
    if are_on() {
        let (events, news) = channel(NEWS);
        (Progress::with_events(events), Some(news))
    } else {
        (Progress::new(), None)
    }
}

impl Ticker {
    pub(crate) fn start(progress: Progress, events: Receiver<Event>) -> Self {
        let happenings = {
            let events = events.clone();
            async move {
                while let Ok(event) = events.recv().await {
                    tell_news(&event);
                }
            }
        };
        let counters = {
            let progress = progress.clone();
            async move {
                let mut last = Value::Null;
                loop {
                    tokio::time::sleep(PACE).await;
                    let now = counted(&progress);
                    if now != last {
                        news(&now);
                        last = now;
                    }
                }
            }
        };
        let tasks = vec![tokio::spawn(happenings), tokio::spawn(counters)];
        Self { progress, events, tasks }
    }
}

impl Drop for Ticker {
    /// Tells what came last.
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        while let Ok(event) = self.events.try_recv() {
            tell_news(&event);
        }
        news(&counted(&self.progress));
    }
}

fn tell_news(event: &Event) {
    if let Some(event) = described(event) {
        news(&event);
    }
}

fn counted(progress: &Progress) -> Value {
    let counters = progress.counters();
    // What is expected is known of few streams.
    let known = |count: u64| (count > 0).then_some(count);
    json!({
        "event": "progress",
        "segments": counters.segments_written(),
        "segments_expected": known(counters.segments_expected()),
        "segments_missing": counters.segments_missing(),
        "bytes_received": counters.bytes_received(),
        "bytes_written": counters.bytes_written(),
        "bytes_expected": known(counters.bytes_expected()),
        "milliseconds": counters.millis_written(),
        "milliseconds_expected": known(counters.millis_expected()),
        "requests_open": counters.requests_open(),
        "retries": counters.retries(),
        "events_dropped": LINES.get().map_or(0, |lines| lines.dropped.load(Ordering::Relaxed)),
    })
}

fn described(event: &Event) -> Option<Value> {
    Some(match event {
        Event::Written { track, msn, bytes } => {
            json!({"event": "segment", "track": track.number(), "msn": msn, "fate": "written", "bytes": bytes})
        }
        Event::Missing(gap) => {
            let fate = match gap.cause {
                GapCause::Tagged => "tagged",
                GapCause::Expired => "expired",
                GapCause::Cut(_) => "cut",
                _ => "failed",
            };
            json!({
                "event": "segment", "track": gap.track.number(), "msn": gap.first_msn, "segments": gap.segments, "fate": fate, "why": gap.cause.to_string(),
            })
        }
        Event::Retry {
            url,
            attempt,
            error,
            delay,
        } => json!({
            "event": "retry", "address": url.to_string(), "attempt": attempt, "error": error, "delay_seconds": delay.as_secs_f64(),
        }),
        _ => return None,
    })
}

/// Turns log messages into events.
pub(crate) struct Log;

impl<S: tracing::Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = event.metadata().level().as_str().to_ascii_lowercase();
        news(&json!({"event": "log", "level": level, "message": text.message + &text.fields}));
    }
}

/// The message of a log event, and its fields behind it.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing to a String does not fail.
        let _ = if field.name() == "message" {
            write!(self.message, "{value:?}")
        } else {
            write!(self.fields, " {}={value:?}", field.name())
        };
    }
}
