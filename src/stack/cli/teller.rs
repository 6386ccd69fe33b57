//! Tells a person how it goes, on standard error.
#![expect(
    clippy::disallowed_methods,
    reason = "looks at the clock, so that a log is told of long waits"
)]

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::run::Progress;

/// One living line on a terminal; in a log a line for what is new, and one now and then.
pub(super) struct Teller {
    bar: Option<ProgressBar>,
    last: String,
    told: Instant,
}

impl Teller {
    /// How often a log is told of a wait in which nothing changes.
    const PATIENCE: Duration = Duration::from_secs(30);

    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let style = "{spinner} [{bar:20}] {pos}/{len} {elapsed}  {wide_msg}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self {
            bar,
            last: String::new(),
            told: Instant::now(),
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

impl Progress for Teller {
    fn done(&mut self, what: &str) {
        match &self.bar {
            Some(bar) => bar.println(what),
            None => eprintln!("{what}"),
        }
    }

    fn waits(&mut self, what: &str, ready: u64, wanted: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(wanted);
            bar.set_position(ready);
            bar.set_message(what.to_owned());
        } else if self.last != what || self.told.elapsed() > Self::PATIENCE {
            what.clone_into(&mut self.last);
            self.told = Instant::now();
            eprintln!("waiting, {ready} of {wanted}: {what}");
        }
    }
}
