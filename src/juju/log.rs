//! The log: what the charm says through `tracing` → Juju.
//!
//! DEBUG and spans go to standard output, which Juju logs at DEBUG, for free. INFO and above go through `juju-log`,
//! when [`Log::flush`] is called. Only the charm's own words are heard: libraries may log what they carry.
#![expect(
    clippy::disallowed_methods,
    reason = "measures how long things take, for people"
)]

use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry};

use super::tools::LogLevel;
use super::transport::{Error, Juju};

/// Whose words are heard.
const OURS: &str = "temporal_k8s";

/// What was said at INFO and above, and not handed to Juju yet.
#[derive(Clone, Debug, Default)]
pub struct Log {
    lines: Arc<Mutex<Vec<(LogLevel, String)>>>,
    /// Is standard output the log? In an action it is the action's result.
    debug: bool,
}

impl Log {
    /// Hears everything that this process says from now on.
    pub fn start(in_action: bool) -> Self {
        let log = Self {
            lines: Arc::default(),
            debug: !in_action,
        };
        let subscriber = Registry::default().with(log.clone());
        // a second one in the same process hears nothing, which loses no more than words
        tracing::subscriber::set_global_default(subscriber).ok();
        log
    }

    /// Hands over what was said.
    pub async fn flush(&self, juju: &Juju) -> Result<(), Error> {
        let lines = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *lines)
        };
        for (level, text) in lines {
            match juju.juju_log(level, &text).await {
                // a line that may be lost is no reason to run the hook again
                Ok(()) | Err(Error::Unsure { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Log {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        let target = metadata.target();
        target == OURS
            || target
                .strip_prefix(OURS)
                .is_some_and(|rest| rest.starts_with("::"))
    }

    fn on_new_span(&self, _: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(Instant::now());
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id).filter(|_| self.debug) else {
            return;
        };
        if let Some(begin) = span.extensions().get::<Instant>() {
            println!("{}: {}", span.name(), Took(begin.elapsed()));
        }
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        let level = match *event.metadata().level() {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warning,
            Level::INFO => LogLevel::Info,
            Level::DEBUG | Level::TRACE => {
                if self.debug {
                    println!("{}", text.0);
                }
                return;
            }
        };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push((level, text.0));
    }
}

/// An event as a line: its message, and its fields behind it.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // writing to a string cannot fail
        _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

/// A duration as people say it.
#[derive(Clone, Copy, Debug)]
pub struct Took(pub Duration);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < Duration::from_secs(1) {
            write!(f, "{} ms", self.0.as_millis())
        } else {
            write!(f, "{:.1} s", self.0.as_secs_f32())
        }
    }
}

/// Measures from now on.
#[derive(Clone, Copy, Debug)]
pub struct Watch(Instant);

impl Watch {
    /// Begins.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// What is left of `limit`.
    pub fn left(self, limit: Duration) -> Duration {
        limit.saturating_sub(self.0.elapsed())
    }

    /// How long ago that was.
    pub fn took(self) -> Took {
        Took(self.0.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn heard(say: impl FnOnce()) -> Vec<(LogLevel, String)> {
        let log = Log::default();
        let subscriber = Registry::default().with(log.clone());
        tracing::subscriber::with_default(subscriber, say);
        log.lines.lock().unwrap().clone()
    }

    #[test]
    fn only_info_and_above_go_to_juju() {
        let lines = heard(|| {
            tracing::debug!("a detail");
            tracing::info!("started temporal 1.32.2");
            tracing::warn!("`db` has no database");
        });
        let started = "started temporal 1.32.2".to_owned();
        let warned = "`db` has no database".to_owned();
        assert_eq!(
            lines,
            [(LogLevel::Info, started), (LogLevel::Warning, warned)]
        );
    }

    #[test]
    fn libraries_are_not_heard() {
        let lines = heard(|| tracing::warn!(target: "h2::client", "password=hunter2"));
        assert_eq!(lines, []);
        let lines = heard(|| tracing::warn!(target: "temporal_k8s_other", "x"));
        assert_eq!(lines, []);
    }

    #[test]
    fn a_secret_cannot_be_recorded() {
        let secret: Secret<String> = "hunter2".into();
        let lines = heard(|| tracing::info!(password = ?secret, "logged in"));
        assert_eq!(lines[0].1, "logged in password=(secret)");
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(Took(Duration::from_micros(83_400)).to_string(), "83 ms");
        assert_eq!(Took(Duration::from_millis(5440)).to_string(), "5.4 s");
    }
}
