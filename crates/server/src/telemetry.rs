//! Logs: one subscriber for the whole process, to stderr, for people or as JSON.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, Registry, reload};

use crate::config::{LogConfig, LogFilter, LogFormat};

type Lines = Box<dyn Layer<Registry> + Send + Sync>;
type Filter = reload::Handle<Targets, tracing_subscriber::layer::Layered<Lines, Registry>>;

/// The filter of this process. There is one log, so there is one of these.
static FILTER: OnceLock<Filter> = OnceLock::new();

/// Installs the subscriber. Can be done once in a process.
///
/// # Errors
/// There is one already.
pub fn init(log: &LogConfig) -> Result<(), TryInitError> {
    let (subscriber, filter) = subscriber(log, std::io::stderr().is_terminal(), std::io::stderr);
    subscriber.try_init()?;
    FILTER.get_or_init(|| filter);
    Ok(())
}

/// Says what is logged from now on, which `new` changes until the process ends.
pub(crate) fn level(new: Option<&LogFilter>) -> String {
    let Some(filter) = FILTER.get() else {
        return "Nothing is logged.\n".to_owned();
    };
    if let Some(new) = new {
        // There is a log for as long as there is a process.
        let _ = filter.modify(|filter| *filter = new.targets());
        tracing::info!(filter = %new.targets(), "the log has another level");
    }
    filter
        .with_current(|filter| format!("{filter}\n"))
        .unwrap_or_default()
}

fn subscriber<W>(log: &LogConfig, colours: bool, writer: W) -> (Box<dyn Subscriber + Send + Sync>, Filter)
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(colours)
        .with_writer(writer);
    let lines = match log.format {
        LogFormat::Pretty => lines.boxed(),
        // Fields at the top level, where log collectors look for them.
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let (level, filter) = reload::Layer::new(log.level.targets());
    let filtered = tracing_subscriber::registry().with(lines).with(level);
    (Box::new(filtered.with(Strangers)), filter)
}

/// Leaves out what actix says, as errors, of requests that are malformed. Anybody can send these; the server has refused them,
/// and there is nothing to be done about them.
struct Strangers;

impl<S: Subscriber> Layer<S> for Strangers {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if !event.metadata().target().starts_with("actix_http::h1") {
            return true;
        }
        let mut said = Said(String::new());
        event.record(&mut said);
        !said.0.starts_with("stream error")
    }
}

/// The message of an event.
struct Said(String);

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::config::{Sources, load};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: &str, level: &str) -> String {
        let flags = [("log.format", format.to_owned()), ("log.level", level.to_owned())];
        let config = load(&Sources {
            flags: flags.into(),
            ..Sources::default()
        })
        .unwrap()
        .config;
        let buffer = Buffer::default();
        let writer = buffer.clone();
        tracing::subscriber::with_default(subscriber(&config.log, false, move || writer.clone()).0, || {
            let _span = tracing::info_span!("request", user = "anna").entered();
            tracing::info!(status = 200, "served");
            tracing::debug!("detail");
        });
        String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn json_is_one_object_per_line_with_fields_at_the_top() {
        let text = logged("json", "info");
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "served");
        assert_eq!(line["status"], 200);
        assert_eq!(line["level"], "INFO");
        assert_eq!(line["span"]["user"], "anna");
    }

    #[test]
    fn pretty_is_for_people_and_without_colours_outside_of_a_terminal() {
        let text = logged("pretty", "info");
        assert!(text.contains("served") && text.contains("status=200"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn what_strangers_send_is_no_error_and_what_fails_here_is() {
        let config = load(&Sources::default()).unwrap().config;
        let buffer = Buffer::default();
        let writer = buffer.clone();
        tracing::subscriber::with_default(subscriber(&config.log, false, move || writer.clone()).0, || {
            tracing::error!(target: "actix_http::h1::dispatcher", "stream error: {}", "Invalid Method specified");
            tracing::error!(target: "actix_http::h1::dispatcher", "Response payload stream error: gone");
            tracing::error!("stream error: ours");
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        assert!(!text.contains("Invalid Method"), "{text}");
        assert!(text.contains("payload") && text.contains("ours"), "{text}");
    }

    #[test]
    fn the_level_decides() {
        assert!(logged("pretty", "debug").contains("detail") || cfg!(not(debug_assertions)));
        assert_eq!(logged("pretty", "error"), "");
        assert_eq!(logged("json", "off"), "");
    }
}
