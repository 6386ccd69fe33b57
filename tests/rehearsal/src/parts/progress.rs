//! What a person sees while parts are made: first what will happen and how long it takes, then one
//! living line on a terminal, or a few plain lines in a log. Writes to stderr only, since stdout
//! may be JSON.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a log gets a line while nothing is finished.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Columns of the narrowest usual terminal.
const WIDTH: usize = 80;

/// One part that is to be made.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Job {
    /// What it is called.
    pub(super) title: String,
    /// How long it takes from nothing on two cores. Only the ratios matter once a part is made.
    pub(super) seconds: f64,
}

/// The parts that are to be made, and how fast this machine was so far.
#[derive(Debug)]
pub(super) struct Agenda {
    jobs: Vec<Job>,
    /// The one that is being made.
    at: usize,
    /// Seconds that passed, and those that had been expected for the same.
    passed: f64,
    foreseen: f64,
}

impl Agenda {
    pub(super) fn new(jobs: Vec<Job>) -> Self {
        Self {
            jobs,
            at: 0,
            passed: 0.0,
            foreseen: 0.0,
        }
    }

    /// What will happen, how long it takes and what stays of it. `meanwhile` is what else happens.
    pub(super) fn announcement(&self, kept: &Path, meanwhile: Option<&str>) -> String {
        let titles: Vec<_> = self.jobs.iter().map(|job| job.title.as_str()).collect();
        let seconds = self.jobs.iter().map(|job| job.seconds).sum();
        let meanwhile = meanwhile.map_or_else(String::new, |it| format!("; {it}"));
        wrapped(&format!(
            "these parts are made first, once: {}. On two cores that takes about {}, nearly all of it \
             for compiling Go, and what the network needs for the sources{meanwhile}. What is made stays in \
             `{}`, beside some 10 GB in Go's own caches: later runs take seconds, and after an \
             interrupt the next one goes on from there",
            titles.join(", "),
            Span(seconds),
            kept.display(),
        ))
    }

    /// The next part's turn has come.
    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    fn job(&self) -> Option<&Job> {
        self.jobs.get(self.at)
    }

    /// How many times longer than noted things take here.
    fn pace(&self) -> f64 {
        if self.foreseen > 0.0 {
            self.passed / self.foreseen
        } else {
            1.0
        }
    }

    /// What comes after the part that is being made, with how long all of it takes.
    fn rest(&self) -> Option<(&str, f64)> {
        let rest = self.jobs.get(self.at + 1..)?;
        let seconds: f64 = rest.iter().map(|job| job.seconds).sum();
        Some((&rest.first()?.title, seconds * self.pace()))
    }
}

/// The text in lines that fit a terminal.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + word.len() < WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// A span of time, as roughly as it is known.
struct Span(f64);

impl Display for Span {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0;
        if seconds < 90.0 {
            write!(to, "{:.0} s", (seconds / 10.0).ceil() * 10.0)
        } else {
            write!(to, "{:.0} min", seconds / 60.0)
        }
    }
}

/// Where the making of a part is.
#[derive(Debug)]
enum Phase {
    /// No figures: it is told what is done.
    Doing(&'static str),
    /// Sources come from the network: so many modules so far, of so many at most.
    Fetching { done: usize, most: usize },
    /// Compiling the packages of `left`, `all` in number when it began.
    Compiling {
        left: HashSet<String>,
        all: usize,
        work: Work,
        since: Instant,
    },
}

/// How much there is to compile, measured in packages; linking a program counts as some more.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Work {
    units: f64,
    /// How long it takes by the notes.
    seconds: f64,
}

/// The packages that could be compiled while a program is linked.
const LINK: f64 = 25.0;

impl Work {
    /// `stale` packages of `all` are to be compiled for `programs`; `seconds` is for all of them.
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    fn new(stale: usize, all: usize, programs: usize, seconds: f64) -> Self {
        let link = LINK * programs as f64;
        let units = stale as f64 + link;
        Self {
            units,
            seconds: seconds * units / (all as f64 + link),
        }
    }

    /// How long the rest takes: by the notes at first, by what was seen towards the end.
    fn left(self, done: f64, passed: f64) -> f64 {
        let open = (1.0 - done / self.units).max(0.0);
        open * (open * self.seconds + passed)
    }
}

/// The progress of one part.
pub(super) struct Progress<'a> {
    agenda: &'a mut Agenda,
    title: String,
    started: Instant,
    logged: Instant,
    phase: Phase,
    /// `None` when stderr is not a terminal.
    bar: Option<ProgressBar>,
}

impl<'a> Progress<'a> {
    pub(super) fn start(agenda: &'a mut Agenda, doing: &'static str) -> Self {
        let title = agenda.job().map_or_else(String::new, |it| it.title.clone());
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0).with_prefix(title.clone());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        let now = Instant::now();
        let progress = Self {
            agenda,
            title,
            started: now,
            logged: now,
            phase: Phase::Doing(doing),
            bar,
        };
        progress.style("{spinner} {prefix} {elapsed}  {wide_msg}");
        progress.show();
        if progress.bar.is_none() {
            eprintln!("{}", progress.plain());
        }
        progress
    }

    fn style(&self, template: &str) {
        if let (Some(bar), Ok(style)) = (&self.bar, ProgressStyle::with_template(template)) {
            bar.set_style(style.progress_chars("━╾─"));
        }
    }

    /// The sources of at most so many modules come from the network now.
    pub(super) fn fetching(&mut self, most: usize) {
        self.phase = Phase::Fetching { done: 0, most };
        self.show();
    }

    /// The packages of `stale` are compiled now, out of `all` that the programs are made of.
    pub(super) fn compiling(&mut self, stale: HashSet<String>, all: usize, programs: usize) {
        let seconds = self.agenda.job().map_or(0.0, |job| job.seconds) * self.agenda.pace();
        self.style("{spinner} {prefix} {bar:8} {wide_msg}");
        if let Some(bar) = &self.bar {
            bar.set_length(stale.len() as u64);
        }
        self.phase = Phase::Compiling {
            all: stale.len(),
            work: Work::new(stale.len(), all, programs, seconds),
            left: stale,
            since: Instant::now(),
        };
        self.show();
    }

    /// The line that the builder printed last.
    pub(super) fn line(&mut self, line: &str) {
        match &mut self.phase {
            Phase::Doing(_) => {}
            Phase::Fetching { done, .. } => {
                *done += usize::from(line.starts_with("go: downloading "));
            }
            Phase::Compiling { left, all, .. } => {
                left.remove(line);
                if let Some(bar) = &self.bar {
                    bar.set_position((*all - left.len()) as u64);
                }
            }
        }
    }

    /// Time went by; gives a log its line when one is due.
    pub(super) fn tick(&mut self) {
        self.show();
        if self.bar.is_none() && self.logged.elapsed() >= LOG_EVERY {
            self.logged = Instant::now();
            eprintln!("{}", self.plain());
        }
    }

    fn show(&self) {
        if let Some(bar) = &self.bar {
            bar.set_message(format!("{}{}", self.state(), self.next()));
        }
    }

    fn plain(&self) -> String {
        let seconds = self.started.elapsed().as_secs();
        let (title, state, next) = (&self.title, self.state(), self.next());
        format!("{title}, {seconds} s: {state}{next}")
    }

    fn state(&self) -> String {
        match &self.phase {
            Phase::Doing(what) => (*what).to_owned(),
            Phase::Fetching { done: 0, .. } => "looking for sources".to_owned(),
            Phase::Fetching { done, most } => {
                format!("fetching sources, {done} of at most {most} modules")
            }
            Phase::Compiling { left, all, .. } => {
                let what = if left.is_empty() {
                    "linking".to_owned()
                } else {
                    format!("{}/{all} packages", *all - left.len())
                };
                format!("{what}, {} left", Span(self.left()))
            }
        }
    }

    /// How long the part itself still takes.
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    fn left(&self) -> f64 {
        match &self.phase {
            Phase::Compiling {
                left,
                all,
                work,
                since,
            } => work.left((*all - left.len()) as f64, since.elapsed().as_secs_f64()),
            Phase::Doing(_) | Phase::Fetching { .. } => {
                self.agenda.job().map_or(0.0, |job| job.seconds) * self.agenda.pace()
            }
        }
    }

    fn next(&self) -> String {
        self.agenda.rest().map_or_else(String::new, |(next, rest)| {
            format!(", {} for all; then {next}", Span(self.left() + rest))
        })
    }

    /// The part is made.
    pub(super) fn done(self) {
        if let Phase::Compiling { work, since, .. } = &self.phase {
            self.agenda.foreseen += work.seconds / self.agenda.pace();
            self.agenda.passed += since.elapsed().as_secs_f64();
        }
        let seconds = self.started.elapsed().as_secs();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        eprintln!("made {} in {seconds} s", self.title);
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agenda() -> Agenda {
        let job = |title: &str, seconds| Job {
            title: title.to_owned(),
            seconds,
        };
        Agenda::new(vec![job("small", 60.0), job("large", 240.0)])
    }

    #[test]
    fn the_announcement_tells_what_how_long_and_where_it_stays() {
        let text = agenda().announcement(Path::new("/cache"), Some("meanwhile the charm, too"));
        assert!(text.lines().all(|line| line.len() <= WIDTH), "{text}");
        let text = text.replace('\n', " ");
        for told in [
            "small, large",
            "about 5 min",
            "`/cache`",
            "meanwhile the charm, too",
        ] {
            assert!(text.contains(told), "{told} in {text}");
        }
    }

    #[test]
    fn an_estimate_goes_from_the_notes_to_what_was_seen() {
        let work = Work::new(975, 975, 1, 200.0);
        assert!((work.left(0.0, 0.0) - 200.0).abs() < 0.1);
        // twice as slow as noted
        let half = work.left(500.0, 200.0);
        assert!((100.0..=200.0).contains(&half), "{half}");
        let late = work.left(900.0, 360.0);
        assert!((36.0..=40.0).contains(&late), "{late}");
        assert!(work.left(1000.0, 400.0) < 0.1);
    }

    #[test]
    fn what_is_in_the_build_cache_takes_no_time() {
        let little = Work::new(75, 975, 1, 200.0);
        assert!((little.left(0.0, 0.0) - 20.0).abs() < 0.1);
        // Nothing stale at all: the link is left.
        assert!(Work::new(0, 975, 1, 200.0).seconds < 6.0);
    }

    #[test]
    fn a_slow_machine_makes_the_rest_longer() {
        let mut agenda = agenda();
        assert_eq!(agenda.rest(), Some(("large", 240.0)));
        (agenda.foreseen, agenda.passed) = (60.0, 120.0);
        assert_eq!(agenda.rest(), Some(("large", 480.0)));
        agenda.advance();
        assert_eq!(agenda.rest(), None);
    }

    #[test]
    fn only_packages_that_were_to_be_compiled_count() {
        let mut agenda = agenda();
        let mut progress = Progress::start(&mut agenda, "looking");
        progress.fetching(3);
        progress.line("go: downloading example.invalid/a v1.0.0");
        progress.line("warning");
        assert_eq!(progress.state(), "fetching sources, 1 of at most 3 modules");
        progress.compiling(["a", "b"].map(str::to_owned).into(), 300, 1);
        for line in ["cached", "a", "a", "# b"] {
            progress.line(line);
        }
        assert!(
            progress.state().starts_with("1/2 packages, "),
            "{}",
            progress.state()
        );
        progress.line("b");
        assert!(
            progress.state().starts_with("linking, "),
            "{}",
            progress.state()
        );
        assert!(
            progress.next().ends_with(", 4 min for all; then large"),
            "{}",
            progress.next()
        );
    }

    #[test]
    fn spans_are_told_as_roughly_as_they_are_known() {
        for (seconds, told) in [
            (3.0, "10 s"),
            (44.0, "50 s"),
            (89.0, "90 s"),
            (200.0, "3 min"),
        ] {
            assert_eq!(Span(seconds).to_string(), told);
        }
    }
}
