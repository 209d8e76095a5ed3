//! What a person or a script sees: results on stdout, everything else on stderr.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::Serialize;

/// Output options, on every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Output")]
pub(super) struct OutputArgs {
    /// Format of the result
    #[arg(
        short,
        long,
        value_enum,
        default_value_t,
        global = true,
        value_name = "FORMAT"
    )]
    pub(super) output: Format,
    /// No progress, hints or warnings
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(super) quiet: bool,
    /// More about what is being done
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
    /// Format of messages on stderr
    #[arg(
        long,
        value_enum,
        default_value_t,
        global = true,
        value_name = "FORMAT"
    )]
    pub(super) log_format: LogFormat,
    /// Colour; NO_COLOR is honoured
    #[arg(long, value_enum, default_value_t, global = true, value_name = "WHEN")]
    pub(super) color: Color,
}

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For people, with more columns.
    Wide,
    /// JSON: a stable interface.
    Json,
    /// YAML: a stable interface.
    Yaml,
    /// Names alone, one a line.
    Name,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum LogFormat {
    #[default]
    Text,
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

/// Writes results and messages in the form that was asked for.
#[derive(Debug, Clone)]
pub struct Printer {
    format: Format,
    quiet: bool,
    verbose: u8,
    json_messages: bool,
    color: bool,
    color_messages: bool,
    prefix: &'static str,
}

impl Printer {
    pub(super) fn new(args: &OutputArgs) -> Self {
        let color = |is_terminal: bool| match args.color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: present and not empty.
            Color::Auto => is_terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        };
        Self {
            format: args.output,
            quiet: args.quiet,
            verbose: args.verbose,
            json_messages: args.log_format == LogFormat::Json,
            color: color(io::stdout().is_terminal()),
            color_messages: color(io::stderr().is_terminal()),
            prefix: "",
        }
    }

    /// One whose messages begin with `prefix`, on a stderr that is shared with others.
    #[must_use]
    pub fn prefixed(&self, prefix: &'static str) -> Self {
        Self {
            prefix,
            ..self.clone()
        }
    }

    /// The format that was asked for.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether only results and errors are wanted.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// How much a long-running command is to log: 0 for errors and warnings alone, 1 for what
    /// happens, 2 and more for details.
    #[must_use]
    pub fn verbosity(&self) -> u8 {
        if self.quiet {
            0
        } else {
            self.verbose.saturating_add(1)
        }
    }

    /// Whether messages are JSON.
    #[must_use]
    pub fn writes_json_messages(&self) -> bool {
        self.json_messages
    }

    /// Whether messages are coloured.
    #[must_use]
    pub fn colors_messages(&self) -> bool {
        self.color_messages
    }

    /// Writes a result: `data` as JSON or YAML, or what `text` makes for people.
    ///
    /// # Errors
    /// When stdout cannot be written to.
    pub fn result<T: Serialize>(
        &self,
        data: &T,
        text: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        match self.format {
            Format::Json => {
                let mut json = serde_json::to_vec_pretty(data)?;
                json.push(b'\n');
                self.raw(&json)
            }
            Format::Yaml => self.raw(serde_yaml::to_string(data)?.as_bytes()),
            Format::Table | Format::Wide | Format::Name => self.raw(text().as_bytes()),
        }
    }

    /// Writes bytes to stdout as they are.
    ///
    /// # Errors
    /// When stdout cannot be written to.
    pub fn raw(&self, bytes: &[u8]) -> anyhow::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(bytes)
            .and_then(|()| stdout.flush())
            .context("could not write to stdout")
    }

    /// Columns as kubectl aligns them, the first row the heading.
    #[must_use]
    pub fn table(&self, rows: &[Vec<String>]) -> String {
        let mut writer = tabwriter::TabWriter::new(Vec::new()).padding(3).ansi(true);
        for row in rows {
            // Writing to memory cannot fail; a stray tab would shift the columns.
            let cells: Vec<_> = row
                .iter()
                .map(|cell| cell.replace(['\t', '\n'], " "))
                .collect();
            let _ = writeln!(writer, "{}", cells.join("\t"));
        }
        let bytes = writer.into_inner().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines()
            .map(|line| format!("{}\n", line.trim_end()))
            .collect()
    }

    /// `KIND/NAME WHAT`, as kubectl says what it did.
    ///
    /// # Errors
    /// When stdout cannot be written to.
    pub fn named(&self, kind: &str, name: &str, what: &str) -> anyhow::Result<()> {
        let data = serde_json::json!({ "kind": kind, "name": name, "result": what.trim() });
        self.result(&data, || match self.format {
            Format::Name => format!("{kind}/{name}\n"),
            _ => format!("{kind}/{name} {what}\n"),
        })
    }

    /// Lines cut to the width of the terminal, if stdout is one.
    #[must_use]
    pub fn fitted(&self, table: &str) -> String {
        let Some((terminal_size::Width(width), _)) = terminal_size::terminal_size_of(io::stdout())
        else {
            return table.to_owned();
        };
        table
            .lines()
            .map(|line| format!("{}\n", console::truncate_str(line, usize::from(width), "…")))
            .collect()
    }

    /// `text` in an ANSI style, if stdout is coloured.
    #[must_use]
    pub fn styled(&self, style: &str, text: &str) -> String {
        paint(self.color, style, text)
    }

    /// Something the user may want to know or do next.
    pub fn hint(&self, message: &str) {
        if !self.quiet {
            self.message("info", "", message);
        }
    }

    /// Something that may be wrong.
    pub fn warning(&self, message: &str) {
        if !self.quiet {
            self.message("warning", YELLOW, message);
        }
    }

    /// What is being done, for whoever asked with `-v`.
    pub fn detail(&self, message: &str) {
        if self.verbose > 0 {
            self.message("debug", "", message);
        }
    }

    /// A wait or a long step, one line each.
    pub fn progress(&self, message: &str) {
        if !self.quiet {
            self.message("progress", "", message);
        }
    }

    /// The error that ends the command, with its causes.
    pub fn error(&self, error: &anyhow::Error) {
        let mut message = error.to_string();
        for cause in error.chain().skip(1) {
            let cause = cause.to_string();
            // Many errors quote their source already.
            if !message.contains(&cause) {
                message.push_str(": ");
                message.push_str(&cause);
            }
        }
        self.message("error", RED, &message);
    }

    fn message(&self, level: &str, style: &str, message: &str) {
        // What others wrote, in an object or in an answer, must not steer the terminal.
        let clean = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
        let message: String = message.chars().map(clean).collect();
        let line = if self.json_messages {
            serde_json::json!({ "level": level, "message": message }).to_string()
        } else if matches!(level, "error" | "warning") {
            format!(
                "{} {message}",
                paint(self.color_messages, style, &format!("{level}:"))
            )
        } else {
            message.to_owned()
        };
        let mut text = String::new();
        for line in line.lines() {
            let prefix = if self.json_messages { "" } else { self.prefix };
            text.push_str(prefix);
            text.push_str(line);
            text.push('\n');
        }
        // There is nowhere to report that stderr is closed.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}

/// ANSI style of what is wrong.
const RED: &str = "1;31";
/// ANSI style of what may be wrong, or waits.
pub(super) const YELLOW: &str = "33";

fn paint(color: bool, style: &str, text: &str) -> String {
    if color && !style.is_empty() {
        format!("\x1b[{style}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Whether the error is that nobody reads stdout any more, as with `| head`.
pub(super) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_has_no_trailing_space() {
        let printer = Printer {
            format: Format::Table,
            quiet: false,
            verbose: 0,
            json_messages: false,
            color: false,
            color_messages: false,
            prefix: "",
        };
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let table = printer.table(&[
            row(["NAME", "AGE"]),
            row(["a-long-name", "3d"]),
            row(["b", ""]),
        ]);
        assert_eq!(table, "NAME          AGE\na-long-name   3d\nb\n");
    }
}
