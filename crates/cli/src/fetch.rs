//! The main command: each input through the pipeline.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use aqueduct::fetch::{HttpFetcher, Jar};
use aqueduct::mux::{can_go_on, find_left};
use aqueduct::resolve::{PageResolver, Selection};
use aqueduct::{Account, Error, Input, Presentation, Stop};

use crate::args::{Args, SourceArgs};
use crate::exit::{self, Exit, tell};
use crate::job::{self, Job};
use crate::report::{give_up, stand_apart};
use crate::values::Pick;
use crate::{aside, list, name};

/// Fetches all inputs, one after the other. The worst end is the exit code.
pub(crate) async fn all(args: &Args, stop: &Stop) -> Exit {
    let jar = match apart(args).and_then(|()| args.source.requests.jar()) {
        Ok(jar) => jar,
        Err(error) => return exit::of(&error),
    };
    let mut worst = Exit::Whole;
    let mut taken = Vec::new();
    for input in &args.inputs {
        let mut files = Vec::new();
        let ended = match one(args, input, &jar, &mut taken, &mut files, stop).await {
            Ok(ended) => ended,
            Err(error) => give_up(args, &error, &files),
        };
        worst = worst.max(ended);
        if stop.is_draining() {
            break;
        }
    }
    worst.max(args.source.requests.end(&jar))
}

/// Refuses a report and cookies that would replace each other, or the output.
fn apart(args: &Args) -> anyhow::Result<()> {
    let requests = &args.source.requests;
    if let Some(report) = args.report.as_deref() {
        stand_apart(None, requests, report)?;
    }
    match Target::of(args)? {
        Target::File(path) => stand_apart(args.report.as_deref(), requests, &path),
        _ => Ok(()),
    }
}

/// An input, and what finds its streams.
pub(crate) struct Source {
    pub(crate) input: Input,
    pub(crate) fetcher: Arc<HttpFetcher>,
    pub(crate) resolver: PageResolver,
}

impl Source {
    pub(crate) async fn open(args: &SourceArgs, selection: Selection, text: &str, jar: &Arc<Jar>, stop: &Stop) -> anyhow::Result<Self> {
        let input = tokio::select! {
            () = stop.draining() => return Err(Error::Stopped.into()),
            input = args.input(text) => input?,
        };
        let mut fetch = aqueduct::fetch::Options::default();
        args.requests.apply(args.origin(&input).as_ref(), &mut fetch)?;
        fetch.cookies = Arc::clone(jar);
        fetch.referer.clone_from(&args.referer);
        fetch.proxy.clone_from(&args.proxy);
        fetch.allow_private = args.allow_private;
        fetch.timeout = args.timeout;
        fetch.retries = args.retries.into();
        fetch.first_delay = args.retry_delay;
        fetch.rate_limit = args.rate_limit.map(|bytes| bytes as u64);
        fetch.longest_delay = fetch.longest_delay.max(args.retry_delay);
        if let Some(agent) = &args.user_agent {
            fetch.user_agent.clone_from(agent);
        }
        // A local playlist names files of its own folder.
        let local = match &input {
            Input::File(path) => path.canonicalize().ok(),
            Input::Url(url) if url.url().scheme() == "file" => url.url().to_file_path().ok(),
            _ => None,
        };
        fetch.local_root = local.and_then(|path| path.parent().map(Path::to_path_buf));
        let mut resolve = aqueduct::resolve::Options::default();
        resolve.selection = selection;
        let fetcher = Arc::new(HttpFetcher::new(fetch).context("failed to set up requests")?);
        Ok(Self {
            input,
            fetcher,
            resolver: PageResolver::new(resolve),
        })
    }

    /// Tells how the streams were found, if that is asked for.
    pub(crate) fn explain(&self, args: &SourceArgs, account: &Account) {
        if args.explain {
            list::tell(account);
        }
    }
}

/// Where the output of a stream goes.
enum Target {
    Stdout,
    File(PathBuf),
    /// A folder, for a name that the stream gives.
    Folder(PathBuf),
}

impl Target {
    fn of(args: &Args) -> anyhow::Result<Self> {
        let target = match &args.output {
            None => Self::Folder(PathBuf::new()),
            Some(path) if path.as_os_str() == "-" => Self::Stdout,
            Some(path) if job::is_recording(args, path) => Self::File(path.clone()),
            Some(path) if path.is_dir() || path.as_os_str().as_encoded_bytes().ends_with(b"/") => Self::Folder(path.clone()),
            Some(path) => Self::File(path.clone()),
        };
        if (args.inputs.len() > 1 || args.pick == Pick::All) && !matches!(target, Self::Folder(_)) {
            bail!("several streams need a folder as --output, or none");
        }
        if (args.inputs.len() > 1 || args.pick == Pick::All) && args.report.is_some() {
            bail!("--report tells of one stream: each of several would replace the report of the one before");
        }
        Ok(target)
    }
}

/// Fetches one input. The files that it makes are in `files` when it fails.
async fn one(
    args: &Args,
    text: &str,
    jar: &Arc<Jar>,
    taken: &mut Vec<PathBuf>,
    files: &mut Vec<PathBuf>,
    stop: &Stop,
) -> anyhow::Result<Exit> {
    let target = Target::of(args)?;
    args.keys.decrypter()?;
    if let Some(report) = &args.report {
        aside::check(report).context("--report")?;
    }
    // Refused before anything is asked for, where the name is known already.
    let mut early = match &target {
        Target::File(path) => Some(job::output(args, path)?),
        _ => None,
    };
    let source = Source::open(&args.source, args.selection(), text, jar, stop).await?;
    let wanted = match args.pick {
        Pick::Number(number) => number,
        Pick::All => usize::MAX,
    };
    let mut streams = find(&source, wanted, stop).await?;
    if let Some(first) = streams.first() {
        source.explain(&args.source, &first.account);
    }
    let mut number = 1;
    if let Pick::Number(picked) = args.pick {
        if streams.len() < picked {
            bail!("there is no stream number {picked}: {} found, see aqueduct list", streams.len());
        }
        streams.drain(..picked - 1);
        streams.truncate(1);
        number = picked;
    }
    let mut worst = Exit::Whole;
    let several = streams.len() > 1;
    for (number, presentation) in (number..).zip(streams) {
        let (mut path, mut otherwise) = match &target {
            Target::Stdout => (None, None),
            Target::File(path) => (Some(path.clone()), None),
            Target::Folder(folder) => {
                let name = name::of(&presentation, several.then_some(number), args.format);
                (Some(name::unique(&name, taken, folder)), None)
            }
        };
        if let (Target::Folder(_), Some(named), false) = (&target, &path, args.no_resume)
            && let Some(left) = left_under_another_name(args, named, taken, &presentation).await?
        {
            tell(&format!("taken up under the name that it had: {}", left.display()));
            otherwise = path.replace(left);
        }
        taken.extend(path.clone());
        let mut job = Job {
            args,
            source: &source,
            number,
            path,
            otherwise,
            files: Vec::new(),
            stop,
        };
        let ended = job.run(presentation, early.take()).await;
        worst = worst.max(match ended {
            Ok(ended) => ended,
            Err(error) if several => give_up(args, &error, &job.files),
            Err(error) => {
                *files = job.files;
                return Err(error);
            }
        });
        if stop.is_draining() {
            break;
        }
    }
    Ok(worst)
}

/// What an earlier run left of the stream under another name than `path`, which its page gives it today.
async fn left_under_another_name(
    args: &Args,
    path: &Path,
    taken: &[PathBuf],
    presentation: &Presentation,
) -> anyhow::Result<Option<PathBuf>> {
    if path.exists() || can_go_on(path) {
        return Ok(None);
    }
    let (folder, extension) = (
        path.parent().unwrap_or(Path::new("")).to_owned(),
        path.extension().map(ToOwned::to_owned),
    );
    let (presentation, split) = (presentation.clone(), args.split.is_some());
    let look = move || find_left(&folder, &presentation, extension.as_deref(), split);
    let left = tokio::task::spawn_blocking(look).await?;
    Ok(left.filter(|left| !taken.contains(left)))
}

/// Finds the streams behind the input, `wanted` of them at least if there are so many.
pub(crate) async fn find(source: &Source, wanted: usize, stop: &Stop) -> anyhow::Result<Vec<Presentation>> {
    tokio::select! {
        () = stop.draining() => Err(Error::Stopped.into()),
        found = source.resolver.streams(&source.input, &source.fetcher, wanted) => Ok(found.map_err(Error::Resolve)?),
    }
}
