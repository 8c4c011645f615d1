//! What `deisd` does on its command line.

use std::{ffi::OsString, process::ExitCode, time::Duration};

use crate::{
    args::{self, Args, Failure, Verb},
    compose::{Daemon, NO_ISOLATION, StartError},
    down::down,
    inherited, quickstart,
    settings::{KNOWN, Settings},
    signals::StopSignals,
    telemetry,
};

/// Runs `deisd` with these arguments.
pub(crate) fn main(args: &[OsString]) -> ExitCode {
    inherited::keep_from_children();
    let parsed = match args::parse(args) {
        Ok(parsed) => parsed,
        Err(Failure::Usage(error)) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
        Err(Failure::Setting(error)) => return fail(&error, 2),
        Err(Failure::NoHome) => {
            eprintln!("deisd: neither XDG_DATA_HOME nor HOME is set; name a data folder with --data");
            return ExitCode::from(2);
        }
    };
    let settings = match Settings::new(&parsed.values) {
        Ok(settings) => settings,
        Err(error) => return fail(&error, 2),
    };
    crate::tls::install_provider();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    let code = runtime.block_on(run(parsed, &settings));
    // Threads that wait for a client to send its pack must not hold up the end.
    runtime.shutdown_timeout(Duration::from_millis(200));
    code
}

async fn run(args: Args, settings: &Settings) -> ExitCode {
    match args.verb {
        Verb::Config => {
            print_config(&args);
            ExitCode::SUCCESS
        }
        Verb::Serve => {
            telemetry::init(&settings.log, settings.log_json);
            match serve(settings).await {
                Ok(code) => code,
                Err(error) => fail(&error, 1),
            }
        }
        Verb::Down => {
            telemetry::init(&settings.log, settings.log_json);
            report(down(settings).await)
        }
        Verb::Quickstart { check: true, .. } => quickstart::check().await,
        Verb::Quickstart { keep, .. } => {
            telemetry::init("warn", settings.log_json);
            quickstart::run(settings.clone(), keep).await
        }
    }
}

fn print_config(args: &Args) {
    for known in KNOWN {
        if let Some((value, from)) = args.values.get(known.name) {
            println!("{} = {value:?}  # {from}", known.name);
        }
    }
}

async fn serve(settings: &Settings) -> Result<ExitCode, StartError> {
    let mut signals = StopSignals::listen();
    let daemon = Daemon::start(settings).await?;
    tracing::info!(
        data = %daemon.data().path().display(),
        listens = %daemon.listens(),
        "deisd serves http://deis.{}:{} (apps at http://<app>.{0}:{1})",
        daemon.info.domain,
        daemon.info.ports.http,
    );
    tracing::warn!("{NO_ISOLATION}");
    if let Some(token) = &daemon.bootstrap {
        eprintln!(
            "\nNobody has registered yet. The first to register becomes administrator and needs this token,"
        );
        eprintln!("which is good for one hour: deis register URL --bootstrap-token {token}\n");
    }
    signals.next().await;
    tracing::info!("stopping; apps keep running (`deisd down` stops them)");
    tokio::select! {
        () = daemon.stop() => Ok(ExitCode::SUCCESS),
        () = signals.next() => {
            tracing::warn!("stopped at once; requests in flight were cut off");
            Ok(ExitCode::FAILURE)
        }
    }
}

fn report(result: Result<(), StartError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error, 1),
    }
}

fn fail(error: &(dyn std::error::Error + 'static), code: u8) -> ExitCode {
    eprintln!("deisd: {}", telemetry::chain(error));
    ExitCode::from(code)
}
