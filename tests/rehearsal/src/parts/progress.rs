//! What a person sees while a part is built: one living line on a terminal, a few plain lines in a
//! log. Writes to stderr only, since stdout may be JSON.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a log gets a line while nothing is finished.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// The progress of one build.
pub(super) struct Progress {
    title: String,
    started: Instant,
    logged: Instant,
    latest: String,
    /// `None` when stderr is not a terminal.
    spinner: Option<ProgressBar>,
}

impl Progress {
    pub(super) fn start(title: &str) -> Self {
        let spinner = std::io::stderr().is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner().with_prefix(title.to_owned());
            if let Ok(style) = ProgressStyle::with_template(
                "{spinner} building {prefix}, {elapsed}  {wide_msg:.dim}",
            ) {
                spinner.set_style(style);
            }
            spinner.enable_steady_tick(Duration::from_millis(120));
            spinner
        });
        if spinner.is_none() {
            eprintln!("building {title}; the first time takes minutes");
        }
        let now = Instant::now();
        Self {
            title: title.to_owned(),
            started: now,
            logged: now,
            latest: String::new(),
            spinner,
        }
    }

    /// The line that the builder printed last.
    pub(super) fn line(&mut self, line: &str) {
        line.clone_into(&mut self.latest);
        if let Some(spinner) = &self.spinner {
            spinner.set_message(self.latest.clone());
        }
    }

    /// Time went by; gives a log its line when one is due.
    pub(super) fn tick(&mut self) {
        if self.spinner.is_none() && self.logged.elapsed() >= LOG_EVERY {
            self.logged = Instant::now();
            let seconds = self.started.elapsed().as_secs();
            eprintln!("building {}, {seconds} s  {}", self.title, self.latest);
        }
    }

    /// The build is done.
    pub(super) fn done(self) {
        let done = format!(
            "built {} in {} s",
            self.title,
            self.started.elapsed().as_secs()
        );
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        eprintln!("{done}");
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
    }
}
