//! How the lines of the log are written that tell of requests: as all others are, and in half the time.
//!
//! `tracing-subscriber` writes each field by its debug format, with colours before and after it that are empty where there are none. Of a
//! log that few lines are written to nobody notices. A request has one with twelve fields, which was the most costly single thing that
//! the gateway did for it.

use std::fmt::{self, Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::access;
pub use crate::seconds::Seconds;

/// Most lines are shorter.
const LINE: usize = 512;

/// The lines of a log, as `tracing-subscriber` writes them by default. Those that tell of requests are outside of all spans.
#[derive(Debug, Clone)]
pub struct Lines<T = Seconds> {
    timer: T,
    others: Format<Full, T>,
}

impl Default for Lines {
    fn default() -> Self {
        Self::with_timer(Seconds)
    }
}

impl<T: Clone> Lines<T> {
    /// By another clock than the system's.
    #[must_use]
    pub fn with_timer(timer: T) -> Self {
        let others = Format::default().with_timer(timer.clone());
        Self { timer, others }
    }
}

impl<S, N, T> FormatEvent<S, N> for Lines<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    T: FormatTime,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != access::TARGET || writer.has_ansi_escapes() {
            return self.others.format_event(context, writer, event);
        }
        self.timer.format_time(&mut writer)?;
        // As one piece: the writer takes each by itself, and there are some fifty.
        let mut fields = Fields(String::with_capacity(LINE));
        fields.0.push_str("  INFO ");
        fields.0.push_str(access::TARGET);
        fields.0.push(':');
        event.record(&mut fields);
        fields.0.push('\n');
        writer.write_str(&fields.0)
    }
}

/// The fields of an event, with a space before each.
struct Fields(String);

impl Fields {
    fn begin(&mut self, field: &Field) -> &mut String {
        self.0.push(' ');
        if field.name() != "message" {
            self.0.push_str(field.name());
            self.0.push('=');
        }
        &mut self.0
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, text: &str) {
        let line = self.begin(field);
        // What the debug format would have to look for, character by character.
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\');
        if text.bytes().fold(true, |are, byte| are & is_plain(byte)) {
            line.push('"');
            line.push_str(text);
            line.push('"');
        } else {
            line.push_str(&format!("{text:?}"));
        }
    }

    fn record_u64(&mut self, field: &Field, number: u64) {
        let mut digits = itoa::Buffer::new();
        self.begin(field).push_str(digits.format(number));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // A string takes all that there is room for.
        let _ = write!(self.begin(field), "{value:?}");
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt;

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Clone, Default)]
    struct Noon;

    impl FormatTime for Noon {
        fn format_time(&self, writer: &mut Writer<'_>) -> super::fmt::Result {
            writer.write_str("2026-11-29T12:00:00.000000Z")
        }
    }

    fn lines(
        format: impl FormatEvent<tracing_subscriber::Registry, fmt::format::DefaultFields>
        + Send
        + Sync
        + 'static,
        with_colours: bool,
    ) -> String {
        let written = Written::default();
        let to = written.clone();
        let subscriber = fmt()
            .with_ansi(with_colours)
            .event_format(format)
            .with_writer(move || to.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            for text in ["/v1/accounts/{id}", "", "a \"b\" \\c", "zwölf\n"] {
                tracing::info!(
                    target: access::TARGET,
                    correlation_id = text,
                    method = %"GET",
                    status = 200_u16,
                    code = None::<&str>,
                    principal = Some(text),
                    elapsed_us = u64::MAX,
                    "request"
                );
                tracing::warn!(text, "another");
            }
        });
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_of_a_request_is_what_it_would_be_by_default() {
        for with_colours in [false, true] {
            let by_default = Format::default().with_timer(Noon);
            let expected = lines(by_default, with_colours);
            assert_eq!(expected.lines().count(), 8);
            assert_eq!(lines(Lines::with_timer(Noon), with_colours), expected);
        }
    }
}
