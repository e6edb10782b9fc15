//! What is said when a command is ended by Ctrl-C, or as a service manager ends it: what is left half done, and which command
//! goes on with it. All commands can be ended at any moment, so nothing is put right before the end.

use std::process::exit;

use hozen_testbed::error::Error;
use tokio::signal::unix::{SignalKind, signal};

/// From here on such an end says what `left` gives then. The program ends as a shell expects: with 128 and the signal's number.
pub fn say(left: impl FnOnce() -> String + Send + 'static) -> Result<(), Error> {
    let failed = || Error::io("wait for Ctrl-C");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(failed())?;
    let (mut interrupt, mut terminate) = {
        // Signals can be asked for only where they will be waited for.
        let _inside = runtime.enter();
        let one = |kind| signal(kind).map_err(failed());
        (one(SignalKind::interrupt())?, one(SignalKind::terminate())?)
    };
    std::thread::spawn(move || {
        let code = runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => 130,
                _ = terminate.recv() => 143,
            }
        });
        // On a line of its own: a terminal has shown ^C, or a step may be half told. A closed stderr is no reason to stay.
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            format!("\nhozen-testbed: interrupted; {}\n", left()).as_bytes(),
        );
        exit(code)
    });
    Ok(())
}
