//! Figures in the text form of Prometheus.

use std::borrow::Cow;
use std::fmt;

use mosaic_ports::{Figure, Label, Reading, Spread};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Registry;

/// What [`text`] is.
pub(crate) const MEDIA_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// These figures as text. Those without readings are left out.
pub(super) fn text(figures: Vec<Figure>) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Gathered(figures)));
    let mut text = String::new();
    // A text takes whatever is written to it.
    if let Err(error) = prometheus_text::encode(&mut text, &registry) {
        tracing::error!(%error, "metrics can not be written");
    }
    text
}

/// What was gathered for one answer.
#[derive(Debug)]
struct Gathered(Vec<Figure>);

impl Collector for Gathered {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for figure in &self.0 {
            encode(figure, &mut encoder)?;
        }
        Ok(())
    }
}

fn encode(figure: &Figure, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Some(first) = figure.series.first() else {
        return Ok(());
    };
    let kind = match first.reading {
        Reading::Counter(_) | Reading::SecondsCounter(_) => MetricType::Counter,
        Reading::Gauge(_) | Reading::SecondsGauge(_) => MetricType::Gauge,
        Reading::Histogram(_) => MetricType::Histogram,
    };
    // The encoder adds the end of its own.
    let name = figure.name.strip_suffix("_total").unwrap_or(figure.name);
    let help = format!("{}.", figure.help);
    let mut encoder = encoder.encode_descriptor(name, &help, None, kind)?;
    for series in &figure.series {
        if series.labels.is_empty() {
            read(&series.reading, &mut encoder)?;
        } else {
            let labels: Vec<Label> = series.labels.clone();
            let labels: Vec<(&str, Cow<'_, str>)> = labels;
            read(&series.reading, &mut encoder.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn read(reading: &Reading, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, f64>> = None;
    match reading {
        Reading::Counter(count) => encoder.encode_counter(count, NO_EXEMPLAR),
        Reading::SecondsCounter(time) => encoder.encode_counter(&time.as_secs_f64(), NO_EXEMPLAR),
        Reading::Gauge(level) => encoder.encode_gauge(level),
        Reading::SecondsGauge(time) => encoder.encode_gauge(&time.as_secs_f64()),
        Reading::Histogram(Spread { buckets, count, sum }) => {
            encoder.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mosaic_ports::Series;

    use super::*;

    #[test]
    fn figures_are_written_as_prometheus_reads_them() {
        let spread = Spread {
            buckets: vec![(0.5, 1), (f64::INFINITY, 2)],
            count: 3,
            sum: 7.25,
        };
        let asked = Series::new(
            [("route", "/a\"b".into()), ("status", "200".into())],
            Reading::Counter(7),
        );
        let figures = vec![
            Figure::new("mosaic_asked_total", "How often it was asked for", [asked]),
            Figure::gauge("mosaic_waiting", "How many wait", 3),
            Figure::of(
                "mosaic_busy_seconds_total",
                "How long",
                Reading::SecondsCounter(Duration::from_millis(1500)),
            ),
            Figure::of(
                "mosaic_wait_seconds",
                "How long they wait",
                Reading::Histogram(spread),
            ),
            Figure::new("mosaic_nothing_total", "What has no readings", []),
        ];
        let expected = "# HELP mosaic_asked_total How often it was asked for.\n\
             # TYPE mosaic_asked_total counter\n\
             mosaic_asked_total{route=\"/a\\\"b\",status=\"200\"} 7\n\
             # HELP mosaic_waiting How many wait.\n\
             # TYPE mosaic_waiting gauge\n\
             mosaic_waiting 3\n\
             # HELP mosaic_busy_seconds_total How long.\n\
             # TYPE mosaic_busy_seconds_total counter\n\
             mosaic_busy_seconds_total 1.5\n\
             # HELP mosaic_wait_seconds How long they wait.\n\
             # TYPE mosaic_wait_seconds histogram\n\
             mosaic_wait_seconds_bucket{le=\"0.5\"} 1\n\
             mosaic_wait_seconds_bucket{le=\"+Inf\"} 3\n\
             mosaic_wait_seconds_sum 7.25\n\
             mosaic_wait_seconds_count 3\n";
        assert_eq!(text(figures), expected);
    }
}
