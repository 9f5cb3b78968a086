//! The `aqueduct` command: arguments, signals, progress and exit codes around the library.

mod args;
mod aside;
mod events;
mod exit;
mod fetch;
mod job;
mod list;
mod name;
mod progress;
mod prove;
mod report;
mod requests;
mod signals;
mod values;
mod verdict;
mod words;

use std::process::ExitCode;

use aqueduct::Stop;
use clap::Parser;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Args, Command, WordArgs};
use crate::exit::Exit;

fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => {
            // Help and version are answers, not errors; a closed pipe leaves nobody to tell.
            let _ = error.print();
            return if error.use_stderr() {
                Exit::Usage.into()
            } else {
                Exit::Whole.into()
            };
        }
    };
    if args.json
        && let Err(error) = events::start(args.output.as_deref() == Some(std::path::Path::new("-")))
    {
        exit::complain(&anyhow::Error::new(error).context("failed to start"), Exit::Failed);
        return Exit::Failed.into();
    }
    if !args.json {
        words::start();
    }
    start_log(args.words());
    // One thread for all requests: on several, the same work takes more time of the processor, and more memory.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            exit::complain(&anyhow::Error::new(error).context("failed to start"), Exit::Failed);
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(run(&args));
    // A write to a pipe that nobody reads may block for ever.
    runtime.shutdown_background();
    exit.into()
}

/// The first signal drains what is under way, the second aborts it.
async fn run(args: &Args) -> Exit {
    let stop = Stop::new();
    // To verify leaves nothing behind: a signal may simply end it.
    let watched = !matches!(args.command, Some(Command::Verify(_)));
    let kept = match args.command {
        Some(Command::Repair(_)) => "what is mended stays so, and a file that is being made anew replaces nothing",
        Some(_) => "nothing is left behind",
        None => "what was fetched is finalised",
    };
    let signals = watched.then(|| tokio::spawn(signals::watch(stop.clone(), kept)));
    let exit = match &args.command {
        Some(Command::Verify(verify)) => prove::verify_file(verify),
        Some(Command::Repair(repair)) => prove::repair_file(repair, &stop).await,
        Some(Command::List { input, json, source }) => list::list(source, input, *json, &stop)
            .await
            .unwrap_or_else(|error| exit::of(&error)),
        None => fetch::all(args, &stop).await,
    };
    if let Some(signals) = signals {
        signals.abort();
    }
    let told = tokio::task::spawn_blocking(|| {
        words::flush();
        events::flush();
    });
    // Nobody may read it: one more signal ends the wait.
    tokio::select! {
        _ = told => {}
        () = signals::interrupted(), if watched => {}
    }
    exit
}

fn start_log(words: &WordArgs) {
    let level = match (words.quiet, words.verbose) {
        (true, _) => "error",
        (false, 0) => "warn",
        (false, 1) => "info",
        (false, 2) => "debug",
        (false, _) => "trace",
    };
    let ours = [
        "aqueduct",
        "aqueduct_cli",
        "aqueduct_core",
        "aqueduct_decrypt",
        "aqueduct_fetch",
        "aqueduct_mux",
        "aqueduct_resolve",
    ];
    let default = ours.map(|name| format!("{name}={level}")).join(",");
    let filter = EnvFilter::try_from_env("AQUEDUCT_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    if events::are_on() {
        tracing_subscriber::registry().with(filter).with(events::Log).init();
        return;
    }
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(words::log)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_target(false)
        .without_time()
        .init();
}
